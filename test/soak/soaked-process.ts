import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect, INSPECTED, type Inspector, type LiveObjects } from '../support/inspected-memory.ts'
import type { ClientPlan, Order, Report } from './plan.ts'

const CLIENT = join(import.meta.dirname, 'client.ts')

/** A process at one time, at rest and its garbage collected. */
export interface Point {
  readonly atMs: number
  /** What it holds but compiled code, in bytes. */
  readonly objects: number
  readonly compiled: number
  readonly resident: number
  /** Open file descriptors. */
  readonly files: number
  /** Timers, sockets and the like that keep its event loop alive. */
  readonly resources: number
}

/** What is counted by class. */
export interface Census {
  readonly classes: Readonly<Record<string, number>>
  readonly listeners: number
}

/** A node or a client, under observation. */
export interface Soaked {
  readonly name: string
  readonly inspector: Inspector
  point(): Promise<Point>
  census(): Promise<Census>
}

/** @param log - all that the process has printed */
export async function observe(name: string, pid: number, log: string): Promise<Soaked> {
  const inspector = await inspect(log)
  await inspector.indexScripts()
  return {
    name,
    inspector,
    async point() {
      const { heldBytes, compiledBytes, newBytes, residentBytes, resources } = await inspector.held()
      return {
        atMs: performance.now(),
        objects: heldBytes - compiledBytes - newBytes,
        compiled: compiledBytes,
        resident: residentBytes,
        files: (await readdir(`/proc/${pid}/fd`)).length,
        resources: Object.values(resources).reduce((total, count) => total + count, 0),
      }
    },
    census: async () => censusOf(await inspector.live()),
  }
}

const censusOf = ({ targets, emitters, listeners }: LiveObjects): Census => ({
  classes: { ...emitters, ...targets },
  listeners,
})

export interface ClientProcess {
  readonly name: string
  readonly pid: number
  log(): string
  order(order: Order): void
  /** @returns what it did since the last time, once nothing of it is under way */
  rest(): Promise<Report>
  kill(): Promise<void>
}

/** @param directory where its plan is written @throws Error when it ends before it is ready */
export async function startClient(directory: string, plan: ClientPlan): Promise<ClientProcess> {
  const name = `client over ${plan.transport}`
  const file = join(directory, `${plan.transport}.plan.json`)
  await writeFile(file, JSON.stringify(plan), { mode: 0o600 })
  const [program, ...args] = [...INSPECTED, process.execPath, CLIENT, file]
  if (program === undefined) throw new Error('no program')
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  await said(child, name, () => log)
  return {
    name,
    pid: child.pid ?? 0,
    log: () => log,
    order: (order) => void child.send(order),
    rest: async () => {
      const report = said(child, name, () => log)
      child.send({ kind: 'rest' } satisfies Order)
      return (await report) as Report
    },
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Its next message. */
function said(child: ChildProcess, name: string, log: () => string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const hear = (message: unknown): void => {
      child.off('exit', end)
      resolve(message)
    }
    const end = (): void => {
      child.off('message', hear)
      reject(new Error(`the ${name} ended:\n${log()}`))
    }
    child.once('message', hear)
    child.once('exit', end)
  })
}

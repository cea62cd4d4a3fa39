import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import process from 'node:process'

/** A process of ours that does one thing after the other, so that its work is measured apart from everybody else's. */
export interface Helper {
  readonly pid: number
  /** @throws Error what the helper threw, or that it ended */
  ask(message: object): Promise<unknown>
  stop(): Promise<void>
}

/** Whether this machine can keep two processes on cores of their own. */
export const canPin = (): boolean =>
  availableParallelism() >= 2 && spawnSync('taskset', ['-c', '0,1', 'true']).status === 0

/** What is put before a command so that all its threads stay on one core. @param core absent: anywhere */
export const onCore = (core: number | undefined): readonly string[] =>
  core === undefined ? [] : ['taskset', '-c', `${core}`]

const TICK_MS = 10

/** Processor time that a process has taken so far, with all its threads, in steps of 10 ms. Undefined where there is no /proc. */
export async function processorMs(pid: number): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined
  // The name may hold spaces and parentheses: the fields begin after the last one; user and system time are the 14th and 15th of all.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(')').at(-1)?.trim().split(' ') ?? []
  return TICK_MS * (Number(fields[11]) + Number(fields[12]))
}

type Reply = { readonly value: unknown } | { readonly problem: string }

/** @param file one that calls `serveHelper` */
export function startHelper(file: string, core?: number): Helper {
  const [program, ...args] = [...onCore(core), process.execPath, file]
  const child: ChildProcess = spawn(program, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  })
  const ended = once(child, 'exit')
  const { pid } = child
  if (pid === undefined) throw new Error(`${program} cannot be started`)
  return {
    pid,
    async ask(message) {
      const replied = once(child, 'message')
      child.send(message)
      const reply = (await Promise.race([replied, ended.then(() => undefined)]))?.[0] as Reply | undefined
      if (reply === undefined) throw new Error(`${file} ended`)
      if ('problem' in reply) throw new Error(reply.problem)
      return reply.value
    },
    async stop() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

/** Answers the process that started this one, one message at a time; ends with it. */
export function serveHelper(answer: (message: unknown) => Promise<unknown>, close: () => Promise<void> | void): void {
  process.on('message', (message) => {
    answer(message).then(
      (value) => process.send?.({ value } satisfies Reply),
      (cause: unknown) =>
        process.send?.({ problem: cause instanceof Error ? `${cause.stack}` : 'unknown' } satisfies Reply),
    )
  })
  process.on('disconnect', () => {
    void Promise.resolve(close()).finally(() => process.exit())
  })
}

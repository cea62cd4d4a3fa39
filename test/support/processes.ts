import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'

/** Processes as Linux shows them in /proc. */
export const hasProc: boolean = process.platform === 'linux'

/** Children of `pid`, their children and so on, as they are now. */
export async function descendants(pid: number): Promise<readonly number[]> {
  const children = new Map<number, number[]>()
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = parentOf(await readProc(entry, 'stat'))
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const below = (parent: number): readonly number[] =>
    (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)])
  return below(pid)
}

/** A file of /proc/PID; empty once the process is gone. */
export async function readProc(pid: number | string, file: string): Promise<Buffer> {
  try {
    return await readFile(`/proc/${pid}/${file}`)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && GONE.has(cause.code)) return Buffer.alloc(0)
    throw cause
  }
}

const GONE: ReadonlySet<unknown> = new Set(['ENOENT', 'ESRCH', 'EACCES'])

/** The name in a stat line may hold spaces and parentheses: the fields begin after the last one. */
function parentOf(stat: Buffer): number | undefined {
  const [, parent] = stat.toString().split(')').at(-1)?.trim().split(' ') ?? []
  return parent === undefined ? undefined : Number(parent)
}

/** Resident memory of a process. */
export async function residentBytes(pid: number): Promise<number> {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec((await readProc(pid, 'status')).toString()) ?? []
  if (kilobytes === undefined) throw new Error(`process ${pid} is gone`)
  return 1024 * Number(kilobytes)
}

/** Resolves when none of these processes, whoever started them, is there any more. */
export async function gone(pids: readonly number[], timeoutMs: number): Promise<void> {
  const waiting = pids.map(async (pid) => {
    const watcher = spawn('tail', [`--pid=${pid}`, '-f', '/dev/null'], { stdio: 'ignore' })
    const timer = setTimeout(() => watcher.kill(), timeoutMs)
    const [code] = (await once(watcher, 'exit')) as [number | null]
    clearTimeout(timer)
    if (code !== 0) throw new Error(`process ${pid} is still there: ${(await readProc(pid, 'cmdline')).toString()}`)
  })
  await Promise.all(waiting)
}

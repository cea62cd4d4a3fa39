import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const COMMAND_TIMEOUT_MS = 20_000
const MAX_MEMBERS = 64

/** One network namespace with its address on the bridge. */
export interface Namespace {
  /** "10.83.0.N". */
  readonly address: string
  /** Put before a command, it runs in here. */
  readonly launcher: readonly string[]
}

/**
 * Namespaces joined by a bridge, in a namespace of their own: nothing on the machine itself changes. Each lives as long as a process
 * that waits on a pipe of ours, so all of it is gone with us, however we end.
 */
export interface NamespaceLab {
  /** Where the bridge is, "10.83.0.254": it reaches every member. */
  readonly hub: Namespace
  readonly members: readonly Namespace[]
  /** Every namespace drops this part of the packets that come in from the bridge, 0 to 1. */
  lose(probability: number): Promise<void>
  /** No packet crosses between the two groups of members (0-based) until `heal`. */
  partition(left: readonly number[], right: readonly number[]): Promise<void>
  /** No packet from the one reaches the other, until `heal`. */
  blockOneWay(from: number, to: number): Promise<void>
  heal(): Promise<void>
  close(): Promise<void>
}

/** Why namespaces cannot be had here; `undefined` when they can. */
export async function namespacesMissing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  const script = [
    'ip link set lo up',
    'ip link add tkms0 type bridge',
    'ip link add tkms1 type veth peer name tkms2',
    'iptables -A INPUT -i lo -m statistic --mode random --probability 0.1 -j DROP',
  ].join(' && ')
  try {
    await execute('unshare', ['--net', 'sh', '-c', script], { timeout: COMMAND_TIMEOUT_MS })
    return undefined
  } catch (cause) {
    return `unshare, ip and iptables do not work here: ${String(cause).split('\n')[1] ?? String(cause)}`
  }
}

export async function createNamespaceLab(count: number): Promise<NamespaceLab> {
  if (count > MAX_MEMBERS) throw new Error(`a lab has at most ${MAX_MEMBERS} members`)
  const holders: ChildProcess[] = []
  const close = async (): Promise<void> => {
    await Promise.all(holders.map((holder) => endHolder(holder)))
  }
  const unshared = async (address: string): Promise<Namespace & { readonly pid: number }> => {
    const holder = await startHolder()
    holders.push(holder)
    const pid = holder.pid ?? 0
    return { address, pid, launcher: ['nsenter', `--net=/proc/${pid}/ns/net`, '--'] }
  }
  try {
    const hub = await unshared('10.83.0.254')
    const members = await Promise.all(Array.from({ length: count }, (_, at) => unshared(`10.83.0.${at + 1}`)))
    await within(
      hub,
      'ip link set lo up; ip link add br0 type bridge; ip addr add 10.83.0.254/24 dev br0; ip link set br0 up',
    )
    for (const [at, { pid }] of members.entries())
      await within(
        hub,
        `ip link add p${at} type veth peer name eth0 netns ${pid}; ip link set p${at} master br0; ip link set p${at} up`,
      )
    for (const member of members)
      await within(member, `ip link set lo up; ip addr add ${member.address}/24 dev eth0; ip link set eth0 up`)
    const all = [...members, hub]
    for (const each of all)
      await within(
        each,
        'iptables -N LOSS; iptables -N BLOCK; iptables -A INPUT ! -i lo -j BLOCK; iptables -A INPUT ! -i lo -j LOSS',
      )
    const block = (from: number, to: number): Promise<void> =>
      within(memberAt(members, to), `iptables -A BLOCK -s ${memberAt(members, from).address} -j DROP`)
    return {
      hub,
      members,
      lose: async (probability) => {
        const rule =
          probability > 0 ? `; iptables -A LOSS -m statistic --mode random --probability ${probability} -j DROP` : ''
        for (const each of all) await within(each, `iptables -F LOSS${rule}`)
      },
      partition: async (left, right) => {
        for (const one of left)
          for (const other of right) {
            await block(one, other)
            await block(other, one)
          }
      },
      blockOneWay: block,
      heal: async () => {
        for (const each of all) await within(each, 'iptables -F BLOCK')
      },
      close,
    }
  } catch (cause) {
    await close()
    throw cause
  }
}

/** A process in a fresh namespace that ends when our end of its pipe does. */
async function startHolder(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo up; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ready = Promise.withResolvers<void>()
  holder.once('error', (cause) => ready.reject(cause))
  holder.once('exit', () => ready.reject(new Error('a namespace could not be made')))
  holder.stdout?.once('data', () => ready.resolve())
  await ready.promise
  return holder
}

async function endHolder(holder: ChildProcess): Promise<void> {
  if (holder.exitCode !== null || holder.signalCode !== null) return
  const gone = once(holder, 'exit')
  holder.stdin?.end()
  await gone
}

async function within({ launcher }: Namespace, script: string): Promise<void> {
  const [command = '', ...args] = launcher
  await execute(command, [...args, 'sh', '-ec', script], { timeout: COMMAND_TIMEOUT_MS })
}

function memberAt(members: readonly Namespace[], at: number): Namespace {
  const member = members[at]
  if (member === undefined) throw new Error(`the lab has no member ${at}`)
  return member
}

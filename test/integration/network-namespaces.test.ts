import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createNamespaceLab,
  type Namespace,
  type NamespaceLab,
  namespacesMissing,
} from '../support/network-namespaces.ts'
import { gone } from '../support/processes.ts'

const execute = promisify(execFile)
const missing = await namespacesMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: network namespaces, ${missing}\n`)

/** Node runs a script in a namespace. */
const script = ({ launcher }: Namespace, code: string, address: string): [string, string[]] => {
  const [program = '', ...args] = launcher
  return [program, [...args, process.execPath, '-e', code, address]]
}
const run = async (...of: Parameters<typeof script>): Promise<string> =>
  (await execute(...script(...of), { timeout: 30_000 })).stdout

/** Whether a TCP connection from one to the other comes to be and carries a line, within a second. */
async function reaches(from: Namespace, to: Namespace): Promise<boolean> {
  const listener = spawn(...script(to, LISTEN, to.address), { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(listener.stdout, 'data')
  try {
    return (await run(from, CONNECT, to.address)).trim() === 'hello'
  } finally {
    const ended = once(listener, 'exit')
    listener.stdin.end()
    await ended
  }
}
const LISTEN = `require('node:net').createServer((s) => { s.on('error', () => {}); s.end('hello') }).listen(7001, process.argv[1], () => console.log('up')); process.stdin.on('end', () => process.exit()).resume()`
const CONNECT = `const s = require('node:net').connect(7001, process.argv[1]); s.on('data', (d) => console.log(String(d))).on('error', () => {}); setTimeout(() => process.exit(), 1000).unref(); s.on('close', () => process.exit())`

describe.skipIf(missing !== undefined)('a lab of network namespaces', () => {
  let lab: NamespaceLab
  beforeAll(async () => {
    lab = await createNamespaceLab(3)
  })
  afterAll(() => lab.close())
  const member = (at: number): Namespace => lab.members[at] ?? lab.hub

  test('joins its members, and the hub reaches all of them', async () => {
    expect(await reaches(member(0), member(1))).toBe(true)
    expect(await reaches(member(2), member(0))).toBe(true)
    expect(await reaches(lab.hub, member(2))).toBe(true)
  })

  test('parts them until it is healed', async () => {
    await lab.partition([0], [1, 2])
    expect(await reaches(member(0), member(1))).toBe(false)
    expect(await reaches(member(1), member(2))).toBe(true)
    await lab.heal()
    expect(await reaches(member(0), member(1))).toBe(true)
  })

  test('loses packets at random: of 200 datagrams to oneself elsewhere some arrive and some do not', async () => {
    await lab.lose(0.5)
    const count = `const d = require('node:dgram').createSocket('udp4'); let n = 0; d.on('message', () => { n++ }); d.bind(7002, process.argv[1], async () => { console.log('up') }); process.stdin.on('end', () => { console.log(n); process.exit() }).resume()`
    const to = member(1)
    const receiver = spawn(...script(to, count, to.address), { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(receiver.stdout, 'data')
    const send = `const d = require('node:dgram').createSocket('udp4'); (async () => { for (let i = 0; i < 200; i++) await new Promise((r) => d.send('x', 7002, process.argv[1], r)); d.close() })()`
    await run(member(0), send, to.address)
    const result = once(receiver.stdout, 'data')
    receiver.stdin.end()
    const arrived = Number(String((await result)[0]))
    expect(arrived).toBeGreaterThan(50)
    expect(arrived).toBeLessThan(150)
    await lab.lose(0)
  })

  test('is gone with the process that made it, killed or not', async () => {
    const module = new URL('../support/network-namespaces.ts', import.meta.url).href
    const program = `const { createNamespaceLab } = await import(${JSON.stringify(module)}); const lab = await createNamespaceLab(2); console.log([lab.hub, ...lab.members].map(({ launcher }) => launcher[1].split('/')[2]).join(' ')); setInterval(() => {}, 1000)`
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const holders = String(line).trim().split(' ').map(Number)
    expect(holders).toHaveLength(3)
    owner.kill('SIGKILL')
    await gone(holders, 10_000)
  })
})

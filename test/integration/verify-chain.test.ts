import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { formatCluster, parseCluster } from '../../packages/dkg/src/cluster.ts'
import { runCli } from '../../packages/kms-client/src/cli/program.ts'
import type { HandMade } from '../support/hand-made.ts'
import { createMovingCluster, entryOf } from '../support/moving-cluster.ts'

const moving = createMovingCluster(8)
const SECOND = [3, 4, 6, 7]
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-chain-'))
})
afterAll(() => rm(directory, { recursive: true }))

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function verify(made: HandMade, ...options: string[]): Promise<Run> {
  const path = join(directory, 'cluster.json')
  const file = { ...moving.fileWith(), certificates: [moving.genesis.bytes, made.bytes] }
  await writeFile(path, JSON.stringify(formatCluster(file)))
  return tkms('verify', '--cluster', path, ...options)
}

async function tkms(...args: string[]): Promise<Run> {
  const output = { out: '', err: '' }
  const code = await runCli(args, {
    stdin: (async function* () {})(),
    stdoutIsTty: false,
    stderrIsTty: false,
    writeOut: (data) => {
      output.out += Buffer.from(data).toString()
      return Promise.resolve()
    },
    writeErr: (text) => {
      output.err += text
    },
    signal: new AbortController().signal,
  })
  return { code, ...output }
}

it('tkms verify follows a key to the committee that has it now', async () => {
  const { code, out } = await verify(moving.reshare(moving.genesis, SECOND, 2), '--json')
  expect(code).toBe(0)
  const report = JSON.parse(out) as { configHash: string; keys: object[] }
  expect(report.configHash).toBe(`0x${Buffer.from(moving.born.configHash).toString('hex')}`)
  expect(report.keys).toMatchObject([
    { epoch: 1, committee: '2 of 4', handOver: 'authorised by a quorum of the committee before' },
  ])
})

it('tkms verify says how a degraded hand-over is accepted, and accepts it so', async () => {
  const weak = moving.reshare(moving.genesis, SECOND, 2, { authorizers: moving.members(1, 2, 3) })
  const hash = `0x${Buffer.from(configHash(weak.spec.newConfig)).toString('hex')}`
  const refused = await verify(weak)
  expect(refused.code).toBe(4)
  expect(refused.err).toContain(hash)
  expect(refused.err).toContain('--accept-config-hash')
  const accepted = await verify(weak, '--accept-config-hash', hash)
  expect(accepted.code).toBe(0)
  expect(accepted.out).toContain('authorised by less than a quorum')
})

it('tkms follow brings a cluster file up to date from a node that knows more, and leaves it alone otherwise', async () => {
  const next = moving.reshare(moving.genesis, SECOND, 2)
  let served: unknown = formatCluster(moving.fileWith(next))
  const server = createServer((_request, response) => response.end(JSON.stringify(served)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const path = join(directory, 'old.json')
  const [first] = moving.members(1)
  if (first === undefined) throw new Error('no node')
  const [, ...others] = moving.born.nodes
  const old = JSON.stringify(formatCluster({ ...moving.born, nodes: [entryOf(first, port), ...others] }))
  await writeFile(path, old)
  try {
    const followed = await tkms('follow', '--cluster', path, '--json')
    expect(JSON.parse(followed.out)).toEqual({ changed: true, keys: [{ name: 'ecies/test', generation: 1, epoch: 1 }] })
    const file = parseCluster(JSON.parse(await readFile(path, 'utf8')))
    expect(file.configHash).toEqual(moving.born.configHash)
    expect(file.nodes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7])
    const before = await readFile(path, 'utf8')
    served = { nothing: 'of use' }
    expect(JSON.parse((await tkms('follow', '--cluster', path, '--json')).out)).toMatchObject({ changed: false })
    expect(await readFile(path, 'utf8')).toBe(before)
    expect((await tkms('follow', '--cluster', `http://127.0.0.1:${port}/v1/cluster`, '--config-hash', '0x')).code).toBe(
      2,
    )
  } finally {
    server.close()
  }
})

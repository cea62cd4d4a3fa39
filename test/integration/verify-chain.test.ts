import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { formatCluster } from '../../packages/dkg/src/cluster.ts'
import { runCli } from '../../packages/kms-client/src/cli/program.ts'
import type { HandMade } from '../support/hand-made.ts'
import { createMovingCluster } from '../support/moving-cluster.ts'

const moving = createMovingCluster(8)
const SECOND = [3, 4, 6, 7]
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-chain-'))
})
afterAll(() => rm(directory, { recursive: true }))

async function verify(made: HandMade, ...options: string[]): Promise<{ code: number; out: string; err: string }> {
  const path = join(directory, 'cluster.json')
  const file = { ...moving.fileWith(), certificates: [moving.genesis.bytes, made.bytes] }
  await writeFile(path, JSON.stringify(formatCluster(file)))
  const output = { out: '', err: '' }
  const code = await runCli(['verify', '--cluster', path, ...options], {
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

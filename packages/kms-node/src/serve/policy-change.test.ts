import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeAuditRecord } from '@tkms/dkg'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type AuditDatabase, createAuditDatabase } from '../audit/database.ts'
import { memoryLedger, testLogKey } from '../audit/ledger.fixture.ts'
import { createLog } from '../ops/log.ts'
import { type LivePolicy, openLivePolicy } from '../policy/live-policy.ts'
import { authorize, clock, createTestPipeline, requestOf, rulePorts } from './pipeline.fixture.ts'
import type { ReleaseLedger } from './release-ledger.ts'

/** A policy file that changes between the decision and the record of the release. */

const OWNER = `version: 1\nkeys:\n  '*':\n    rule: owner\n`
const NOBODY = `version: 1\nkeys:\n  other/1:\n    rule: owner\n`
const ONCE = `version: 1\nkeys:\n  '*':\n    all:\n      - rule: owner\n      - rule: quota\n        requester: [{ items: 1, seconds: 60 }]\n`
const call = { remote: 'test', address: '192.0.2.1', signal: new AbortController().signal }

let directory: string
let file: string
let policy: LivePolicy
let database: AuditDatabase

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-policy-change-'))
  file = join(directory, 'policy.yaml')
  database = createAuditDatabase(':memory:', { count: 0, hash: new Uint8Array(32) }, testLogKey)
})
afterEach(async () => {
  policy.stop()
  await rm(directory, { recursive: true })
})

/** A node with the first file, which another takes the place of before each record, as long as there is one. */
async function open(first: string, ...others: string[]): Promise<ReturnType<typeof createTestPipeline>> {
  await writeFile(file, first)
  const log = createLog({ level: 'fatal', node: 'alice', destination: { write: () => undefined } })
  const ports = rulePorts()
  const ledger = memoryLedger(clock, { database })
  const onPolicy = (fileHash: Uint8Array): void => ledger.note({ kind: 'policy', fileHash })
  policy = await openLivePolicy({ file, ports, clock, log, pollMs: 3_600_000, onPolicy })
  const record: ReleaseLedger['record'] = async (entry) => {
    const next = others.shift()
    if (next !== undefined) {
      await writeFile(file, next)
      await policy.reload()
    }
    return ledger.record(entry)
  }
  return createTestPipeline({ policy, ledger: { ...ledger, record } })
}
const kinds = (): readonly string[] => database.page(0, 100).map(({ record }) => decodeAuditRecord(record).kind)

it('releases nothing that only the policy before it allowed', async () => {
  const { pipeline, lender } = await open(OWNER, NOBODY)
  expect(await pipeline.handle(authorize(requestOf()), call)).toEqual({ kind: 'refusal', code: 'not-allowed' })
  expect(lender.uses).toBe(0)
  expect(kinds()).toEqual(['policy', 'policy'])
})

it('answers what the new one allows too, and a quota counts it once', async () => {
  const { pipeline } = await open(ONCE, `# again\n${ONCE}`)
  expect(await pipeline.handle(authorize(requestOf()), call)).toMatchObject({ kind: 'answer' })
  expect(await pipeline.handle(authorize(requestOf()), call)).toMatchObject({ code: 'not-allowed' })
  expect(kinds()).toEqual(['policy', 'policy', 'release'])
})

it('gives up on a policy that changes all the time', async () => {
  const { pipeline, lender } = await open(OWNER, ...[1, 2, 3].map((at) => `# ${at}\n${OWNER}`))
  expect(await pipeline.handle(authorize(requestOf()), call)).toEqual({ kind: 'refusal', code: 'policy-unavailable' })
  expect(lender.uses).toBe(0)
})

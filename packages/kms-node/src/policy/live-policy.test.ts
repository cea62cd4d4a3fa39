import { createHash } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesKey } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLog } from '../ops/log.ts'
import { rulePorts } from '../serve/pipeline.fixture.ts'
import { inputOf } from './decision-input.fixture.ts'
import { type LivePolicy, openLivePolicy } from './live-policy.ts'

const OWNER = `version: 1\nkeys:\n  '*':\n    rule: owner\n`
const NOBODY = `version: 1\nkeys:\n  other/1:\n    rule: owner\n`
const FIRMWARE = `version: 1\nkeys:\n  '*':\n    rule: attested\n    allow: [{ name: release-7, mrTd: ${'ab'.repeat(48)} }]\n`
const WRONG = `version: 1\nkeys:\n  '*':\n    rule: everybody\n`

let directory: string
let file: string
let lines: { readonly msg: string; readonly level: number }[]
let live: LivePolicy
let nowMs = 5_000
let inForce: string[]
const onPolicy = (hash: Uint8Array): void => void inForce.push(`0x${bytesKey(hash)}`)
const clock = { nowMs: () => nowMs, monotonicMs: () => 0 }

async function open(pollMs = 3_600_000): Promise<LivePolicy> {
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) }
  const log = createLog({ level: 'info', node: 'alice', destination })
  live = await openLivePolicy({ file, ports: rulePorts(), clock, log, pollMs, onPolicy })
  return live
}
const hashOf = (text: string): string => `0x${createHash('sha256').update(text).digest('hex')}`
const allows = async (): Promise<boolean> => (await live.decide('k', inputOf())).allowed

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-policy-'))
  file = join(directory, 'policy.yaml')
  lines = []
  nowMs = 5_000
  inForce = []
  await writeFile(file, OWNER)
})
afterEach(async () => {
  live.stop()
  await rm(directory, { recursive: true })
})

describe('the policy of a running node', () => {
  it('follows its file, written in place or put in its place', async () => {
    await open(10)
    expect(await allows()).toBe(true)
    await writeFile(file, NOBODY)
    await vi.waitFor(async () => expect(await allows()).toBe(false))
    await writeFile(`${file}.new`, OWNER)
    await rename(`${file}.new`, file)
    await vi.waitFor(async () => expect(await allows()).toBe(true))
    expect(lines.map(({ msg }) => msg)).toEqual(['policy-loaded', 'policy-loaded'])
    expect(inForce).toEqual([OWNER, NOBODY, OWNER].map(hashOf))
    expect(live.state().inForce.sha256).toBe(hashOf(OWNER))
  })

  it('stays as it is while the file is wrong, and says since when and why, once', async () => {
    await open()
    const { inForce: first } = live.state()
    expect(live.state()).toEqual({ file, inForce: { sha256: expect.stringMatching(/^0x[0-9a-f]{64}$/), since: 5 } })
    await writeFile(file, WRONG)
    nowMs = 7_000
    await live.reload()
    nowMs = 9_000
    expect(await live.reload()).toEqual({
      file,
      inForce: first,
      refused: {
        since: 7,
        code: 'bad-config-file',
        problems: [expect.stringMatching(/^keys\.\*\.rule: must be one of/)],
      },
    })
    expect(await allows()).toBe(true)
    await rm(file)
    expect(await live.reload()).toMatchObject({ inForce: first, refused: { since: 9, code: 'config-missing' } })
    expect(await allows()).toBe(true)
    await writeFile(file, OWNER)
    expect(await live.reload()).toEqual({ file, inForce: first })
    expect(lines).toMatchObject([
      { msg: 'policy-refused', level: 50 },
      { msg: 'policy-refused', code: 'config-missing' },
      { msg: 'policy-loaded', level: 30 },
    ])
  })

  it('takes a new one when it is told, and says nothing of one that is the same', async () => {
    await open()
    await live.reload()
    expect(lines).toEqual([])
    await writeFile(file, NOBODY)
    expect(await allows()).toBe(true)
    nowMs = 8_000
    expect((await live.reload()).inForce).toMatchObject({ since: 8 })
    expect(await allows()).toBe(false)
  })

  it('takes a file only once it rests', async () => {
    await open()
    for (const text of [NOBODY, WRONG, `${NOBODY}# more`, `${NOBODY}# more and more`]) {
      await writeFile(file, text)
      await live.look()
      expect(await allows()).toBe(true)
    }
    await live.look()
    expect(await allows()).toBe(false)
    expect(lines).toHaveLength(1)
  })

  it('stays whole where a new file lets any kernel on a known firmware ask', async () => {
    await open()
    const { inForce: first } = live.state()
    await writeFile(file, FIRMWARE)
    const { inForce: stays, refused } = await live.reload()
    expect(stays).toEqual(first)
    expect(refused).toMatchObject({
      code: 'bad-config-file',
      problems: [expect.stringMatching(/allow\.0, release-7: /)],
    })
    expect(await allows()).toBe(true)
  })

  it('is needed to begin with', async () => {
    await writeFile(file, WRONG)
    await expect(open()).rejects.toMatchObject({ code: 'bad-config-file' })
    await rm(file)
    await expect(open()).rejects.toMatchObject({ code: 'config-missing' })
    await writeFile(file, OWNER)
    await open()
  })
})

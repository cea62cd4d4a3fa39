import { copyFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Authorization, decodeAuditRecord, formatAuthorization, Secret } from '@tkms/dkg'
import { createEd25519Signer, type KmsClient, type RequestSigner } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestCluster, makeKey, type TestCluster, type TestNode } from '../support/node-cluster.ts'
import { canMount, fillDisk, onSmallDisk, seenThrough } from '../support/small-disk.ts'

const KEY_NAME = 'ecies/audit'
const signer: RequestSigner = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))

let cluster: TestCluster
let kms: KmsClient
let node: TestNode

async function begin(launcher?: (index: number) => readonly string[]): Promise<void> {
  cluster = await createTestCluster({ n: 3, t: 2, ...(launcher && { launcher }) })
  await Promise.all(cluster.nodes.map((member) => member.start()))
  await makeKey(cluster.nodes, KEY_NAME)
  kms = await createNodeKmsClient({ cluster: await cluster.file(), signer })
  node = cluster.node(1)
}

async function end(): Promise<void> {
  await kms.close()
  await cluster.dispose()
}

async function newRequest(): Promise<Authorization> {
  const envelope = await kms.encrypt(new Uint8Array(10), { key: KEY_NAME, owners: [signer.publicKeyId] })
  return (await kms.request(envelope)).authorization
}

/** @returns "answer" or the code of the refusal */
async function ask(authorization: Authorization): Promise<string> {
  const body = JSON.stringify(formatAuthorization(authorization))
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${node.url}/v1/delegate`, { method: 'POST', headers, body })
  const { error } = (await response.json()) as { error?: { code: string } }
  return error?.code ?? 'answer'
}

const audit = (...args: readonly string[]): Promise<readonly unknown[]> => cluster.run(['audit', ...args])
/** The error that a command ends with, exit code 1. */
async function auditError(...args: readonly string[]): Promise<unknown> {
  const failed = await audit(...args).then(
    () => undefined,
    (cause: unknown) => cause as { readonly code: number; readonly stdout: string },
  )
  expect(failed?.code).toBe(1)
  return (JSON.parse(failed?.stdout ?? '{}') as { readonly error: unknown }).error
}
const broken = (reason: string, at?: number): unknown =>
  expect.objectContaining({
    code: 'audit-broken',
    data: expect.objectContaining({ reason, ...(at !== undefined && { at }) }) as unknown,
  })

describe('what a node released', () => {
  beforeAll(() => begin(), 120_000)
  afterAll(end)

  test('is on record when the answer is there, survives a kill, and is given once', async () => {
    const first = await newRequest()
    expect(await ask(first)).toBe('answer')
    await node.kill()
    await node.start()
    expect(await ask(first)).toBe('replayed')
    expect(await ask(await newRequest())).toBe('answer')
    const lines = (await audit('tail', '-n', '5', '--data-dir', node.directory)) as readonly { kind: string }[]
    expect(lines.map(({ kind }) => kind)).toEqual(['policy', 'release', 'start', 'policy', 'release'])
    expect(lines.at(-1)).toMatchObject({
      requester: signer.publicKeyId,
      items: [{ outcome: 'released' }],
      rules: ['owner', 'quota'],
    })
    const status = (await (await fetch(`${node.url}/v1/status`)).json()) as { readonly audit: unknown }
    expect(status.audit).toEqual({ recording: true })
  })

  test('is followed while it happens', async () => {
    const stop = new AbortController()
    const seen: unknown[] = []
    for await (const line of (await node.admin()).lines('/audit/records?from=5&follow=1', stop.signal)) {
      if (seen.push(line) === 1) expect(await ask(await newRequest())).toBe('answer')
      if (seen.length === 2) break
    }
    stop.abort()
    expect(seen).toMatchObject([{ seq: 5 }, { seq: 6 }])
  })

  test('is checked running and stopped, and anywhere with nothing but the cluster file', {
    timeout: 240_000,
  }, async () => {
    const files = await mkdtemp(join(tmpdir(), 'tkms-audit-'))
    const [exported, head, publicFile] = ['audit.jsonl', 'head.json', 'public.json'].map((name) => join(files, name))
    if (exported === undefined || head === undefined || publicFile === undefined) throw new Error('three names')
    await writeFile(publicFile, JSON.stringify(await cluster.file()))
    expect(await audit('verify', '--data-dir', node.directory)).toMatchObject([{ whole: true, node: 1, from: 0 }])
    await audit('export', '--out', exported, '--data-dir', node.directory)
    expect(await auditError('export', '--out', exported, '--data-dir', node.directory)).toMatchObject({
      code: 'output-exists',
    })
    const late = join(files, 'late.jsonl')
    expect(await auditError('export', '--from', '99', '--out', late, '--data-dir', node.directory)).toMatchObject({
      code: 'bad-range',
      data: { count: 7 },
    })
    expect(await auditError('verify', exported, '--data-dir', files)).toMatchObject({
      message: expect.stringContaining('--cluster FILE') as unknown,
    })
    await audit('head', '--out', head, '--data-dir', node.directory)
    expect(await auditError('verify', head, '--cluster', publicFile)).toMatchObject({
      message: expect.stringContaining('--head') as unknown,
    })
    expect(await audit('verify', exported, '--cluster', publicFile)).toMatchObject([
      { whole: true, node: 1, from: 0, count: 7 },
    ])
    expect(await audit('verify', exported, '--cluster', publicFile, '--head', head)).toMatchObject([
      { comparedWith: 1 },
    ])

    const changed = join(files, 'changed.jsonl')
    await writeFile(
      changed,
      (await readFile(exported, 'utf8')).replace('"outcome":"released"', '"outcome":"not-allowed"'),
    )
    expect(await auditError('verify', changed, '--cluster', publicFile)).toEqual(broken('unreadable', 2))
    const part = join(files, 'part.jsonl')
    await audit('export', '--from', '4', '--out', part, '--data-dir', node.directory)
    expect(await audit('verify', part, '--cluster', publicFile)).toMatchObject([{ from: 4, count: 7 }])

    const old = join(files, 'yesterday')
    await node.stop()
    await cp(node.directory, old, { recursive: true })
    const [stopped] = await audit('verify', '--head', head, '--data-dir', node.directory)
    const { count } = stopped as { readonly count: number }
    await node.start()
    expect(await ask(await newRequest())).toBe('answer')
    await rm(head)
    await audit('head', '--out', head, '--data-dir', node.directory)
    await node.stop()
    // Everything put back, the sealed store too: only a head that was kept elsewhere tells.
    expect(await audit('verify', '--data-dir', old)).toMatchObject([{ whole: true, count }])
    expect(await auditError('verify', '--head', head, '--data-dir', old)).toEqual(broken('truncated', count))
    await rm(files, { recursive: true })
  })

  test('cannot be changed on its disk: the check says where, and the node does not start before its operator accepts the loss', {
    timeout: 240_000,
  }, async () => {
    await node.stop()
    const whole = await readFile(join(node.directory, 'audit.db'))
    const change = (sql: string): void => {
      const database = new DatabaseSync(join(node.directory, 'audit.db'))
      database.exec(sql)
      database.close()
    }
    change('DELETE FROM records WHERE seq = 3')
    expect(await auditError('verify', '--data-dir', node.directory)).toEqual(broken('chain', 3))
    await writeFile(join(node.directory, 'audit.db'), whole)
    change(
      "UPDATE records SET record = CAST(substr(record, 1, 25) || x'00' || substr(record, 27) AS BLOB) WHERE seq = 1",
    )
    expect(await auditError('verify', '--data-dir', node.directory)).toEqual(broken('chain', 1))
    await writeFile(join(node.directory, 'audit.db'), whole)
    change('DELETE FROM records WHERE seq > 5')
    await expect(node.start()).rejects.toThrow(node.name)
    expect(node.log()).toContain('audit-broken')
    const confirm = /audit accept-loss --confirm ([0-9]+)/.exec(node.log())?.[1] ?? ''
    const given = await audit('accept-loss', '--confirm', confirm, '--data-dir', node.directory)
    expect(given).toMatchObject([{ records: Number(confirm) }])
    await node.start()
    expect(await ask(await newRequest())).toBe('answer')
    expect(await audit('verify', '--data-dir', node.directory)).toMatchObject([{ whole: true, from: Number(confirm) }])
  })

  test('is moved into files that are one log together, and the node goes on after them', {
    timeout: 240_000,
  }, async () => {
    const files = await mkdtemp(join(tmpdir(), 'tkms-archive-'))
    const [first, second, publicFile] = ['1.jsonl', '2.jsonl', 'public.json'].map((name) => join(files, name))
    if (first === undefined || second === undefined || publicFile === undefined) throw new Error('three names')
    await writeFile(publicFile, JSON.stringify(await cluster.file()))
    const answered = await newRequest()
    expect(await ask(answered)).toBe('answer')
    const [archived] = await audit('archive', '--out', first, '--data-dir', node.directory)
    const { from, count } = archived as { readonly from: number; readonly count: number }
    const [tail] = await audit('verify', '--head', first, '--data-dir', node.directory)
    expect(tail).toMatchObject({ whole: true, from: count })
    expect(await ask(answered)).toBe('replayed')
    expect(await ask(await newRequest())).toBe('answer')
    await node.kill()
    await node.start()
    await audit('archive', '--out', second, '--data-dir', node.directory)
    expect(await audit('verify', first, second, '--cluster', publicFile)).toMatchObject([{ whole: true, from }])
    for (const wrong of [
      [second, first],
      [first, first],
    ])
      expect(await auditError('verify', ...wrong, '--cluster', publicFile)).toMatchObject({ code: 'bad-range' })
    expect(await auditError('archive', '--out', second, '--data-dir', node.directory)).toMatchObject({
      code: 'output-exists',
    })
    await rm(files, { recursive: true })
  })
})

describe.skipIf(!canMount())('a node whose disk is full', () => {
  let small = false

  beforeAll(async () => {
    await begin((index) => (small && index === 1 ? onSmallDisk(node.directory) : []))
    await node.stop()
    small = true
    await node.start()
  }, 120_000)
  afterAll(end)

  /** Where the node's own disk is seen from here. */
  const seen = (name: string): string => seenThrough(node.pid, join(node.directory, name))

  /** Releases on record, by a copy of the log as it is on the disk now. */
  async function recorded(): Promise<number> {
    const copy = await mkdtemp(join(tmpdir(), 'tkms-audit-'))
    for (const name of ['audit.db', 'audit.db-wal']) await copyFile(seen(name), join(copy, name))
    const database = new DatabaseSync(join(copy, 'audit.db'))
    const rows = database.prepare('SELECT record FROM records').all()
    database.close()
    await rm(copy, { recursive: true })
    return rows.filter(({ record }) => record instanceof Uint8Array && decodeAuditRecord(record).kind === 'release')
      .length
  }

  const problems = async (): Promise<unknown> => {
    const response = await fetch(`${node.url}/ready`)
    const body = (await response.json()) as { readonly error?: { readonly details: { readonly problems: unknown } } }
    return body.error?.details.problems
  }

  test('answers nothing that it cannot record, says so, loses nothing, and serves again when there is room', {
    timeout: 120_000,
  }, async () => {
    let answers = 0
    const count = (outcome: string): string => {
      if (outcome === 'answer') answers++
      return outcome
    }
    expect(count(await ask(await newRequest()))).toBe('answer')
    await fillDisk(seen('filler'))
    await expect.poll(async () => count(await ask(await newRequest())), { timeout: 30_000 }).toBe('audit-unavailable')
    const refused = await newRequest()
    expect(await ask(refused)).toBe('audit-unavailable')
    expect(await problems()).toContain('audit-unavailable')
    const status = (await (await fetch(`${node.url}/v1/status`)).json()) as { readonly audit: unknown }
    expect(status.audit).toEqual({ recording: false, problem: 'disk-full' })
    expect(await recorded()).toBe(answers)
    await rm(seen('filler'))
    await expect.poll(problems, { timeout: 15_000 }).toBeUndefined()
    expect(count(await ask(refused))).toBe('answer')
    expect(await recorded()).toBe(answers)
    expect(node.log()).toContain('audit log writes again')
  })
})

import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatAuthorization, Secret } from '@tkms/dkg'
import { createEd25519Signer } from '@tkms/kms-client'
import { createNodeKmsClient } from '@tkms/kms-client/node'
import type { CeremonyStatus } from '@tkms/kms-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { approve, createTestCluster, type TestCluster, type TestNode, waitForStatus } from '../support/node-cluster.ts'

/** Every command of docs/operations.md, in its order, on real nodes: names of operators and files are replaced, nothing else. */
const COMMAND = 'npm run --silent kms-node -- '
const NAMES = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace']

let cluster: TestCluster
let commands: string[]
const done = new Set<string>()

beforeAll(async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  commands = text
    .split('\n')
    .filter((line) => line.startsWith(COMMAND))
    .map((line) => line.slice(COMMAND.length))
  cluster = await createTestCluster({ n: 5, t: 3, environment: { TKMS_CEREMONY_PHASE_BASE_MS: '3000' } })
  await Promise.all(cluster.nodes.map((node) => node.start()))
}, 300_000)

afterAll(() => cluster.dispose())

const node = (at: number): TestNode => {
  const found = cluster.nodes[at]
  if (found === undefined) throw new Error(`there is no node ${at}`)
  return found
}

/** The one documented command that begins with these words, as arguments for this test's cluster. */
function documented(words: string, values: Readonly<Record<string, string>> = {}): readonly string[] {
  const [line, ...more] = commands.filter((candidate) => candidate.startsWith(words))
  if (line === undefined || more.length > 0) throw new Error(`docs/operations.md has no single command "${words}"`)
  done.add(line)
  return line
    .split(' ')
    .filter((word) => word !== '--watch')
    .map((word) => values[word] ?? word)
    .map((word) => {
      const [name = '', ...rest] = word.split('/')
      const at = NAMES.indexOf(name)
      if (at < 0) return word
      return rest.length === 0 ? node(at).name : join(node(at).directory, ...rest)
    })
    .map((word, at, all) => (all[at - 1] === '--data-dir' ? join(cluster.directory, word) : word))
    .map((word) =>
      /^(?:cluster|old-kms|head|audit|request|alice|operator)[^/]*\.(?:jsonl?|hex|backup|key)$/.test(word)
        ? join(cluster.directory, word)
        : word,
    )
}

const run = (words: string, values?: Readonly<Record<string, string>>): Promise<readonly unknown[]> =>
  cluster.run(documented(words, values))

/** Proposes as documented, approves on all others. @returns what everybody says at the end */
async function conduct(words: string, members: readonly TestNode[]): Promise<readonly CeremonyStatus[]> {
  const [proposed] = await run(words)
  const { ceremony } = proposed as CeremonyStatus
  await Promise.all(members.slice(1).map((member) => approve(member, ceremony)))
  return Promise.all(members.map((member) => waitForStatus(member, ceremony, ({ stage }) => stage === 'complete')))
}

const publicKeys = (statuses: readonly CeremonyStatus[]): Set<string | undefined> =>
  new Set(statuses.map(({ publicKey }) => publicKey))

/** What the owner of an envelope would send, as `tkms request` writes it. */
async function requestOf(of: TestCluster): Promise<string> {
  const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const kms = await createNodeKmsClient({ cluster: await of.file(), signer })
  try {
    const key = 'ecies/imported'
    const envelope = await kms.encrypt(new Uint8Array(1), { key, owners: [signer.publicKeyId] })
    return JSON.stringify(formatAuthorization((await kms.request(envelope)).authorization))
  } finally {
    await kms.close()
  }
}

test('a cluster lives through everything that the operations guide says', { timeout: 900_000 }, async () => {
  const founders = [...cluster.nodes]
  const [begun] = await cluster.run(['ceremony', 'propose', '--name', 'ecies/421614', '--data-dir', node(0).directory])
  await Promise.all(founders.slice(1).map((member) => approve(member, (begun as CeremonyStatus).ceremony)))
  const first = await Promise.all(
    founders.map((member) =>
      waitForStatus(member, (begun as CeremonyStatus).ceremony, ({ stage }) => stage === 'complete'),
    ),
  )
  expect((await run('ceremony status')).length).toBeGreaterThan(0)
  expect(await run('doctor')).toMatchObject([{ ok: true, failures: 0 }])

  const [proposed] = await run('ceremony propose --refresh ecies/421614')
  const { ceremony } = proposed as CeremonyStatus
  await waitForStatus(node(1), ceremony, () => true)
  const [shown] = await run('ceremony approve CEREMONY --show', { CEREMONY: ceremony })
  expect(shown).toMatchObject({ ceremony, kind: 'reshare' })
  await run('ceremony approve CEREMONY --watch', { CEREMONY: ceremony })
  await Promise.all(founders.slice(2).map((member) => approve(member, ceremony)))
  const fresh = await Promise.all(
    founders.map((member) => waitForStatus(member, ceremony, ({ stage }) => stage === 'complete')),
  )
  expect(publicKeys([...first, ...fresh]).size).toBe(1)

  await cluster.addCandidates(2)
  // Making the candidates wrote this file already: the documented command writes it again.
  await rm(join(cluster.directory, 'cluster-7.json'), { force: true })
  await run('cluster add')
  documented('cluster join')
  documented('start')
  // With a TPM, in tpm-change.slow.test.ts.
  for (const words of ['reseal --expect', 'reseal --data-dir']) documented(words)
  await Promise.all(cluster.nodes.slice(5).map((member) => member.start()))
  const seven = [...cluster.nodes]
  const grown = await conduct('ceremony propose --reshare ecies/421614 --add', seven)
  expect(grown[0]).toMatchObject({ n: 7, t: 4, epoch: 2 })
  const six = await conduct('ceremony propose --reshare ecies/421614 --remove', seven)
  expect(six[0]).toMatchObject({ n: 6, t: 4, epoch: 3 })
  expect(publicKeys([...first, ...grown, ...six]).size).toBe(1)

  const [made] = await run('backup keygen')
  const { recipient: RECIPIENT } = made as { readonly recipient: string }
  expect(await run('backup --to', { RECIPIENT })).toMatchObject([{ node: node(0).name, leftOut: [] }])
  expect(await run('backup drill')).toMatchObject([{ ok: true, keys: [{ epoch: 3 }] }])
  expect(await run('restore --from')).toMatchObject([{ node: node(0).name, outdated: [] }])
  await rm(join(cluster.directory, 'alice-new'), { recursive: true })

  // Nothing is lost here: a node that has its share is told so, and there is no repair to approve.
  await expect(run('repair ecies/421614')).rejects.toMatchObject({
    stdout: expect.stringContaining('share') as unknown,
  })
  expect(await run('repair status')).toEqual([[]])
  documented('repair approve')

  const committee = seven.filter(({ name }) => name !== node(4).name)
  const rotated = await conduct('keys rotate', committee)
  expect(rotated[0]).toMatchObject({ generation: 2 })
  expect(publicKeys([...first, ...rotated]).size).toBe(2)
  const [keys] = (await run('keys --data-dir')) as readonly (readonly { keyId: string; generation: number }[])[]
  const keyId = keys?.find(({ generation }) => generation === 1)?.keyId ?? ''
  await run('keys destroy ecies/421614 --generation', { KEYID: keyId })
  expect(await run('keys destroy ecies/421614 --status')).toHaveLength(1)

  await writeFile(join(cluster.directory, 'old-kms.hex'), '07'.repeat(32))
  const imported = await conduct('ceremony propose --import', founders)
  const renewed = await conduct('ceremony propose --refresh ecies/imported', founders)
  expect(publicKeys([...imported, ...renewed]).size).toBe(1)

  const [late] = await cluster.run(['ceremony', 'propose', '--name', 'ecies/never', '--data-dir', node(0).directory])
  await run('ceremony abandon', { CEREMONY: (late as CeremonyStatus).ceremony })
  await expect(run('evidence verify')).rejects.toMatchObject({ code: 1 })

  await copyFile(join(node(0).directory, 'policy.yaml'), join(node(0).directory, 'policy-new.yaml'))
  expect(await run('policy check')).toMatchObject([{ ok: true, remarks: [] }])
  expect(await run('status')).toMatchObject([{ policy: { inForce: {} } }])
  await writeFile(join(cluster.directory, 'request.json'), await requestOf(cluster))
  expect(await run('policy explain')).toMatchObject([{ allowed: true }])

  expect((await run('audit tail -n')).length).toBeGreaterThan(0)
  documented('audit tail --follow')
  await run('audit head')
  expect(await run('audit verify --head head-monday.json')).toMatchObject([{ whole: true, comparedWith: 1 }])
  await run('audit export')
  await writeFile(join(cluster.directory, 'cluster.json'), JSON.stringify(await cluster.file()))
  expect(await run('audit verify audit-alice.jsonl')).toMatchObject([{ whole: true, from: 0 }])
  await run('audit archive')
  expect(await run('audit verify audit-alice-1.jsonl')).toMatchObject([{ whole: true, from: 0 }])
  expect(await run('audit verify --head audit-alice-1.jsonl')).toMatchObject([{ whole: true, comparedWith: 1 }])
  // The node runs and its log is whole: there is nothing to give up.
  await expect(run('audit accept-loss')).rejects.toMatchObject({ code: 1 })
  expect(commands.filter((line) => !done.has(line))).toEqual([])
})

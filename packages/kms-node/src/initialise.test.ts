import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { initialiseNode, type InitInput } from './initialise.ts'
import { createPassphraseSealer } from './seal/passphrase-sealer.ts'
import { withNodeStore } from './open-node-store.ts'
import { createRecordStore } from './store/record-store.ts'
import { requireStore } from './store/require-store.ts'
import { storeDirectory, systemRng } from './system.ts'

const PASSPHRASE = 'correct horse battery'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-init-'))
})
afterEach(() => rm(directory, { recursive: true }))

const input = (): InitInput => ({
  directory,
  name: 'alice',
  profile: 'development',
  listen: ['/ip4/127.0.0.1/tcp/7001'],
  announce: [],
  httpHost: '127.0.0.1',
  httpPort: 7443,
  tls: true,
  env: { TKMS_PASSPHRASE: PASSPHRASE, TKMS_SEALER_SCRYPT_LOG_N: '10' },
})

test('a store opens under the sealer that init was told of, and is not handed to another', async () => {
  const { config } = await initialiseNode({ ...input(), sealer: 'kms-file', env: {} })
  expect(config.sealer).toEqual({ provider: 'kms-file', keyFile: join(directory, 'sealer.key') })
  await withNodeStore(config, {}, async (store) => expect(await store.list('identity')).toHaveLength(1))
  const sealer = { provider: 'passphrase', scryptLogN: 10 } as const
  await expect(withNodeStore({ ...config, sealer }, input().env, async () => {})).rejects.toMatchObject({
    code: 'sealer-mismatch',
    data: { sealedBy: 'kms-file', configured: 'passphrase' },
  })
})

test('a sealer of the development profile is refused in production before anything is written', async () => {
  const asked = { ...input(), sealer: 'kms-file', profile: 'production', env: {} } as const
  await expect(initialiseNode(asked)).rejects.toMatchObject({ code: 'bad-config-file' })
  expect(await readdir(directory)).toEqual([])
})

const cardText = (): Promise<string> => readFile(join(directory, 'card.json'), 'utf8')

test('an init that was cut short after its store was made is finished by the next one', async () => {
  const passphrase = Secret.copyOf(Buffer.from(PASSPHRASE))
  const sealer = createPassphraseSealer({ passphrase, rng: systemRng, params: { logN: 10, r: 8, p: 1 } })
  const store = await createRecordStore({ directory: storeDirectory(directory), sealer, rng: systemRng })
  await store.put('node-seed', 'node', new Secret(systemRng.bytes(32)))
  await store.close()
  const { card } = await initialiseNode(input())
  expect(JSON.parse(await cardText())).toEqual(card)
  expect((await readdir(directory)).toSorted()).toEqual([
    '.gitignore',
    'card.json',
    'node.yaml',
    'policy.yaml',
    'store',
    'tls.crt',
  ])
})

test('an init that was cut short before its card was written keeps the identity', async () => {
  const { card } = await initialiseNode(input())
  await rm(join(directory, 'card.json'))
  await rm(join(directory, 'tls.crt'))
  expect((await initialiseNode(input())).card).toEqual(card)
})

test('a finished node is not touched', async () => {
  await initialiseNode(input())
  const before = await cardText()
  await expect(initialiseNode(input())).rejects.toMatchObject({ code: 'store-exists' })
  expect(await cardText()).toBe(before)
})

test('a node whose store is gone is no empty directory: the refusal says what takes its place', async () => {
  const { config } = await initialiseNode(input())
  await rm(storeDirectory(directory), { recursive: true })
  const gone = { code: 'store-missing', message: expect.stringContaining('--remove alice --add NEWCARD') as unknown }
  await expect(initialiseNode(input())).rejects.toMatchObject(gone)
  await expect(requireStore(config)).rejects.toMatchObject(gone)
  await expect(withNodeStore(config, input().env, async () => {})).rejects.toMatchObject(gone)
})

test.each([
  { given: { httpHost: '0.0.0.0' }, code: 'address-unknown' },
  { given: { name: 'a b' }, code: 'bad-config-file' },
  { given: { passphraseFile: '/nowhere' }, code: 'passphrase-unreadable' },
  { given: { env: {} }, code: 'passphrase-missing' },
])('an init refused with $code writes nothing, so the mended one is not bound by it', async ({ given, code }) => {
  await expect(initialiseNode({ ...input(), ...given })).rejects.toMatchObject({ code })
  expect(await readdir(directory)).toEqual([])
})

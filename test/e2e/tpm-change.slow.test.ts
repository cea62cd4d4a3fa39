import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '@tkms/dkg'
import { PROGRAMS } from '@tkms/examples/programs'
import { initialiseNode, type InitInput, type NodeConfig, openSealer, withNodeStore } from '@tkms/kms-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeTpm2Header } from '../../packages/kms-node/src/seal/tpm2-header.ts'
import { unsealFromPcrs } from '../../packages/kms-node/src/seal/tpm2-object.ts'
import { createTpm2Tools } from '../../packages/kms-node/src/seal/tpm2-tools.ts'
import { openAead } from '../../packages/kms-node/src/store/aead.ts'
import { keyringAad, parseKeyringFile } from '../../packages/kms-node/src/store/keyring-file.ts'
import { productionInput } from '../support/production-node.ts'
import { countersOf, createTestTpm, tpmMissing, type TestTpm, withTools } from '../support/swtpm.ts'

/** What a node sealed by a TPM outlives: a cut power at the wrong moment, and an update of its machine. */

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: changes of a machine with a TPM, ${missing}\n`)

const SYSTEM = 'firmware, boot loader and kernel'
const UPDATED = 'boot loader and a later kernel'
const PCRS = 'sha256:0,1,2,3,4,5,7'
const COMMAND = 'npm run --silent kms-node -- '

describe.skipIf(missing !== undefined)('a node sealed by a TPM', () => {
  let directory: string
  let tpm: TestTpm
  let made = 0

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-tpm-change-'))
    await mkdir(join(directory, 't'))
    tpm = await createTestTpm(join(directory, 't'))
    await tpm.measure(SYSTEM)
  })
  afterAll(async () => {
    await tpm?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const input = (name = `node-${++made}`): InitInput =>
    productionInput(join(directory, name), 'tpm2', { TKMS_SEALER_TCTI: tpm.tcti })
  const reboot = async (system: string): Promise<void> => {
    await tpm.stop()
    await tpm.start()
    await tpm.measure(system)
  }
  const init = async (): Promise<NodeConfig> => (await initialiseNode(input())).config
  const opening = (config: NodeConfig): Promise<number> =>
    withNodeStore(config, {}, async (store) => (await store.list('identity')).length)
  const put = (config: NodeConfig, value: Uint8Array): Promise<void> =>
    withNodeStore(config, {}, (store) => store.put('share', 'a', Secret.copyOf(value)))

  test('of two stores that a cut power left with one count, only one is opened', async () => {
    const config = await init()
    const store = join(config.dataDir, 'store')
    const calls = join(directory, 'calls')
    await writeFile(calls, '')
    // Counts twice at the opening, at the end of which the disk is copied, and not for the change after it.
    const lines = (tool: string, real: string): string =>
      tool === 'tpm2_nvincrement'
        ? `#!/bin/sh\necho >> ${calls}\n[ $(wc -l < ${calls}) -le 2 ] || exit 1\n[ $(wc -l < ${calls}) -eq 1 ] || cp -r ${store} ${store}.opened\nexec ${real}/${tool} "$@"\n`
        : `#!/bin/sh\nexec ${real}/${tool} "$@"\n`
    await withTools(directory, lines, async () => {
      await expect(put(config, Buffer.from('one'))).rejects.toMatchObject({ code: 'tpm-refused' })
    })
    await rename(store, `${store}.one`)
    await rename(`${store}.opened`, store)
    await put(config, Buffer.from('two'))
    await rename(store, `${store}.two`)
    await rename(`${store}.one`, store)
    await expect(opening(config)).rejects.toMatchObject({ code: 'rollback-detected' })
    await rm(store, { recursive: true })
    await rename(`${store}.two`, store)
    expect(await opening(config)).toBe(1)
  })

  test('init that was cut short takes its counter back, and no other one, when it is done again', async () => {
    const other = await init()
    const before = await countersOf(tpm)
    const data = join(directory, 'cut-short')
    const again = input('cut-short')
    const lines = (tool: string, real: string): string =>
      tool === 'tpm2_nvincrement' ? '#!/bin/sh\nkill -9 $PPID\n' : `#!/bin/sh\nexec ${real}/${tool} "$@"\n`
    const command = [PROGRAMS['kms-node'], 'init', '--name', 'alice', '--data-dir', data, '--sealer', 'tpm2']
    await withTools(directory, lines, async () => {
      const env = { ...process.env, TKMS_SEALER_TCTI: tpm.tcti }
      await expect(promisify(execFile)(process.execPath, command, { env, timeout: 60_000 })).rejects.toMatchObject({
        signal: 'SIGKILL',
      })
    })
    const after = await countersOf(tpm)
    expect(after).toHaveLength(before.length + 1)
    const [left = ''] = after.filter((index) => !before.includes(index))
    const { config } = await initialiseNode(again)
    const now = await countersOf(tpm)
    expect(now).toHaveLength(before.length + 1)
    expect(now).not.toContain(left)
    expect(await opening(config)).toBe(1)

    const note = Buffer.alloc(20)
    note.writeUInt32BE(Number(before.at(-1)))
    const third = input()
    await mkdir(join(third.directory, 'store'), { recursive: true, mode: 0o700 })
    await writeFile(join(third.directory, 'store/counter.tmp'), note, { mode: 0o600 })
    await initialiseNode(third)
    expect(await countersOf(tpm)).toEqual(expect.arrayContaining([...now]))
    expect(await opening(other)).toBe(1)
  })

  test('erase removes the counter with the directory, or neither', async () => {
    const before = await countersOf(tpm)
    const { config } = await initialiseNode(input('unwanted'))
    const data = config.dataDir
    const erase = (name: string): Promise<unknown> => {
      const command = [PROGRAMS['kms-node'], 'erase', '--confirm', name, '--data-dir', data]
      return promisify(execFile)(process.execPath, command, {
        env: { ...process.env, TKMS_SEALER_TCTI: tpm.tcti },
        timeout: 60_000,
      })
    }
    await expect(erase('somebody')).rejects.toMatchObject({ stderr: expect.stringContaining('nothing was done') })
    const lines = (tool: string, real: string): string =>
      tool === 'tpm2_nvundefine' ? '#!/bin/sh\nexit 1\n' : `#!/bin/sh\nexec ${real}/${tool} "$@"\n`
    await withTools(directory, lines, async () => {
      await expect(erase(config.name)).rejects.toMatchObject({ stderr: expect.stringContaining('tpm-refused') })
    })
    expect(await countersOf(tpm)).toHaveLength(before.length + 1)
    expect(await opening(config)).toBe(1)
    await erase(config.name)
    expect(await countersOf(tpm)).toEqual(before)
    expect(await readdir(directory)).not.toContain('unwanted')
  })

  /** The documented command that begins with these words, on a node of this test. */
  async function documented(words: string, values: Readonly<Record<string, string>>): Promise<unknown> {
    const text = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
    const [line, ...more] = text.split('\n').filter((each) => each.startsWith(`${COMMAND}${words}`))
    if (line === undefined || more.length > 0) throw new Error(`docs/operations.md has no single command "${words}"`)
    const args = line.slice(COMMAND.length).split(' ')
    const env = { ...process.env, TKMS_SEALER_TCTI: tpm.tcti }
    const command = [PROGRAMS['kms-node'], ...args.map((word) => values[word] ?? word), '--json']
    const { stdout } = await promisify(execFile)(process.execPath, command, { env, timeout: 60_000 })
    return JSON.parse(stdout)
  }

  test('opens after an update that it was told to expect, and then no longer before it', {
    timeout: 120_000,
  }, async () => {
    const config = await init()
    const [pcrs, store] = [join(directory, 'pcrs.txt'), join(config.dataDir, 'store')]
    await put(config, Buffer.from('before'))
    const before = await readdir(store)
    await reboot(UPDATED)
    await writeFile(pcrs, await tpm.run('tpm2_pcrread', PCRS))
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })
    await reboot(SYSTEM)
    await cp(store, `${store}.old`, { recursive: true })
    const values = { alice: config.dataDir, 'pcrs.txt': pcrs }
    expect(await documented('reseal --expect', values)).toEqual({
      directory: config.dataDir,
      pcrs: PCRS,
      sealedTo: ['present', pcrs],
    })
    expect((await readdir(store)).toSorted()).toEqual(before.toSorted())
    expect(await opening(config)).toBe(1)
    await tpm.measure('and something more')
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })

    await reboot(UPDATED)
    expect(await opening(config)).toBe(1)
    expect(await documented('reseal --data-dir', values)).toMatchObject({ sealedTo: ['present'] })
    expect(await opening(config)).toBe(1)
    await reboot(SYSTEM)
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })
    await rename(store, `${store}.new`)
    await rename(`${store}.old`, store)
    await expect(opening(config)).rejects.toMatchObject({ code: 'rollback-detected' })
    await rm(store, { recursive: true })
    await rename(`${store}.new`, store)
    await reboot(UPDATED)
    await withNodeStore(config, {}, async (opened) => {
      const found = (await opened.get('share', 'a'))?.use((bytes) => Buffer.from(bytes).toString())
      expect(found).toBe('before')
    })
  })

  test('a resealed store has a key that the former start does not unseal, and is left alone by wrong values', async () => {
    const config = await init()
    const before = await readFile(join(config.dataDir, 'store/keyring'))
    await withNodeStore(config, {}, async (store, sealer) => {
      const wrong = Array.from({ length: 4 }, () => ({ digest: '00'.repeat(32), isMeasured: true }))
      await expect(sealer.reseal?.(wrong)).rejects.toMatchObject({ code: 'usage' })
      const blank = [{ digest: '00'.repeat(32), isMeasured: false }]
      await expect(sealer.reseal?.(blank)).rejects.toMatchObject({ code: 'tpm-unmeasured' })
      await sealer.reseal?.([])
      await store.renew()
    })
    const after = parseKeyringFile(await readFile(join(config.dataDir, 'store/keyring')))
    const old = parseKeyringFile(before)
    const length = Buffer.from(old.sealed).readUInt16BE(2)
    const sealer = await openSealer({ config, env: {} })
    const opened = await sealer.unseal(after.sealed, keyringAad(after.storeId, after.count))
    opened.destroy()
    // The key that the old blob holds, with everything that is not secret as the new keyring has it.
    const key = await unsealFromPcrs(
      createTpm2Tools({ tcti: tpm.tcti }),
      PCRS,
      decodeTpm2Header(old.sealed.slice(4, 4 + length)).objects[0] ?? missingObject(),
    )
    const prefix = after.sealed.subarray(0, 4 + Buffer.from(after.sealed).readUInt16BE(2))
    const aad = Buffer.concat([prefix, keyringAad(after.storeId, after.count)])
    expect(openAead({ key, aad }, after.sealed.subarray(prefix.length))).toBeUndefined()
    const oldPrefix = old.sealed.subarray(0, 4 + length)
    const oldAad = Buffer.concat([oldPrefix, keyringAad(old.storeId, old.count)])
    expect(openAead({ key, aad: oldAad }, old.sealed.subarray(oldPrefix.length))).toBeDefined()
    sealer.destroy()
  })
})

const missingObject = (): never => {
  throw new Error('the keyring has no object of a TPM')
}

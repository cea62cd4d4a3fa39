import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '@tkms/dkg'
import { PROGRAMS } from '@tkms/examples/programs'
import { initialiseNode, type InitInput, type NodeConfig, withNodeStore } from '@tkms/kms-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { countersOf, createTestTpm, tpmMissing, type TestTpm, withTools } from '../support/swtpm.ts'

/** What a node sealed by a TPM outlives: a cut power at the wrong moment. */

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: changes of a machine with a TPM, ${missing}\n`)

const SYSTEM = 'firmware, boot loader and kernel'

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

  const input = (name = `node-${++made}`): InitInput => ({
    directory: join(directory, name),
    name: 'alice',
    profile: 'production',
    listen: ['/ip4/127.0.0.1/tcp/7001'],
    announce: [],
    httpHost: '127.0.0.1',
    httpPort: 7443,
    tls: true,
    sealer: 'tpm2',
    env: { TKMS_SEALER_TCTI: tpm.tcti },
  })
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
    // Counts at the opening, where the disk is copied, and not for the change after it.
    const lines = (tool: string, real: string): string =>
      tool === 'tpm2_nvincrement'
        ? `#!/bin/sh\necho >> ${calls}\n[ $(wc -l < ${calls}) -eq 1 ] || exit 1\ncp -r ${store} ${store}.opened\nexec ${real}/${tool} "$@"\n`
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
})

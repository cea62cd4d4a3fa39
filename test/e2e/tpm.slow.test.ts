import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '@tkms/dkg'
import { PROGRAMS } from '@tkms/examples/programs'
import {
  initialiseNode,
  type InitInput,
  loadNodeConfig,
  type NodeConfig,
  openSealer,
  withNodeStore,
} from '@tkms/kms-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createRecordingRng } from '../support/ceremony-secrets.ts'
import { findLeaks } from '../support/leak-search.ts'
import { productionInput } from '../support/production-node.ts'
import { countersOf, createTestTpm, tpmMissing, type TestTpm, withTools } from '../support/swtpm.ts'

const missing = await tpmMissing()
if (missing !== undefined && process.env['TKMS_REQUIRE_ALL'] === '1') throw new Error(missing)
if (missing !== undefined) process.stdout.write(`skipped: sealing by a TPM, ${missing}\n`)

const SYSTEM = 'firmware, boot loader and kernel'

describe.skipIf(missing !== undefined)('a node sealed by a TPM', () => {
  let directory: string
  let tpm: TestTpm
  let other: TestTpm
  let made = 0
  const inUse: TestTpm[] = []

  const newTpm = async (name: string): Promise<TestTpm> => {
    await mkdir(join(directory, name))
    const created = await createTestTpm(join(directory, name))
    inUse.push(created)
    return created
  }
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-tpm-test-'))
    await mkdir(join(directory, 'tmp'))
    tpm = await newTpm('a')
    other = await newTpm('b')
    for (const each of [tpm, other]) await each.measure(SYSTEM)
  })
  // Every test's environment is put back after it.
  beforeEach(() => void vi.stubEnv('TMPDIR', join(directory, 'tmp')))
  afterAll(async () => {
    await Promise.all(inUse.map((each) => each.stop()))
    await rm(directory, { recursive: true, force: true })
  })

  const input = (over: Partial<InitInput> = {}): InitInput => ({
    ...productionInput(join(directory, `node-${++made}`), 'tpm2', { TKMS_SEALER_TCTI: tpm.tcti }),
    ...over,
  })
  const init = async (over?: Partial<InitInput>): Promise<NodeConfig> => (await initialiseNode(input(over))).config
  const reboot = async (signal?: 'SIGTERM' | 'SIGKILL', system = SYSTEM): Promise<void> => {
    await tpm.stop(signal)
    await tpm.start()
    await tpm.measure(system)
  }
  const opening = (config: NodeConfig, tcti = tpm.tcti): Promise<number> => {
    const sealer = { ...config.sealer, tcti } as NodeConfig['sealer']
    return withNodeStore({ ...config, sealer }, {}, async (store) => (await store.list('identity')).length)
  }
  const put = (config: NodeConfig, value: Uint8Array): Promise<void> =>
    withNodeStore(config, {}, (store) => store.put('share', 'a', Secret.copyOf(value)))

  test('opens without an operator after a reboot, and after a power failure', async () => {
    const data = join(directory, 'by-command')
    const command = [PROGRAMS['kms-node'], 'init', '--name', 'alice', '--data-dir', data, '--sealer', 'tpm2']
    const env = { ...process.env, TKMS_SEALER_TCTI: tpm.tcti }
    await promisify(execFile)(process.execPath, command, { env, timeout: 60_000 })
    const config = await loadNodeConfig({ directory: data, env: { TKMS_SEALER_TCTI: tpm.tcti } })
    expect(config).toMatchObject({ profile: 'production', sealer: { provider: 'tpm2', pcrs: 'sha256:0,1,2,3,4,5,7' } })
    expect(await opening(config)).toBe(1)
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await reboot(signal)
      expect(await opening(config)).toBe(1)
    }
  })

  test('stays shut on another machine, after another start, and for another user', async () => {
    const config = await init()
    await expect(opening(config, other.tcti)).rejects.toMatchObject({ code: 'unseal-failed' })
    await reboot('SIGTERM', 'another kernel')
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })
    await reboot()
    await tpm.measure('and something more')
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })
    await reboot()
    expect(await opening(config)).toBe(1)
    const pcrs = { ...config.sealer, pcrs: 'sha256:0' } as NodeConfig['sealer']
    await expect(withNodeStore({ ...config, sealer: pcrs }, {}, async () => {})).rejects.toMatchObject({
      code: 'sealer-mismatch',
      data: { sealedBy: 'tpm2 sha256:0,1,2,3,4,5,7', configured: 'tpm2 sha256:0' },
    })
  })

  test.skipIf(process.getuid?.() !== 0)('another user of the machine does not reach the TPM', async () => {
    const config = await init()
    const lines = (tool: string, real: string): string =>
      `#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups ${real}/${tool} "$@"\n`
    await withTools(directory, lines, async () => {
      await expect(opening(config)).rejects.toMatchObject({ code: 'tpm-unavailable' })
    })
    expect(await opening(config)).toBe(1)
  })

  test('an old copy of the store is refused, and so is an old state of the TPM', async () => {
    const config = await init()
    const store = join(config.dataDir, 'store')
    const keep = (from: string, to: string): Promise<void> => cp(from, to, { recursive: true })
    const putBack = async (from: string, to: string): Promise<void> => {
      await rm(to, { recursive: true })
      await keep(from, to)
    }
    await put(config, Buffer.from('old'))
    await keep(store, `${store}.old`)
    await put(config, Buffer.from('new'))
    await keep(store, `${store}.new`)
    await putBack(`${store}.old`, store)
    await expect(opening(config)).rejects.toMatchObject({ code: 'rollback-detected' })
    await putBack(`${store}.new`, store)
    expect(await opening(config)).toBe(1)

    await tpm.stop()
    await keep(tpm.state, `${tpm.state}.old`)
    await tpm.start()
    await tpm.measure(SYSTEM)
    for (const value of ['newer', 'newest']) await put(config, Buffer.from(value))
    await tpm.stop()
    await putBack(`${tpm.state}.old`, tpm.state)
    await tpm.start()
    await tpm.measure(SYSTEM)
    await expect(opening(config)).rejects.toMatchObject({ code: 'rollback-detected' })
  })

  test('leaves nothing loaded in the TPM and no file behind, whether it opens or not', async () => {
    const config = await init()
    expect(await opening(config)).toBe(1)
    await tpm.measure('and something more')
    await expect(opening(config)).rejects.toMatchObject({ code: 'unseal-failed' })
    const kinds = ['handles-transient', 'handles-loaded-session', 'handles-saved-session']
    for (const kind of kinds) expect([kind, await tpm.run('tpm2_getcap', kind)]).toEqual([kind, ''])
    expect(await readdir(tmpdir())).toEqual([])
    await reboot()
  })

  test('without its counter, or with one made anew, it stays shut', async () => {
    const config = await init()
    const before = await countersOf(tpm)
    const second = await init()
    const [index = ''] = (await countersOf(tpm)).filter((known) => !before.includes(known))
    await tpm.run('tpm2_nvundefine', '-C', 'o', index)
    await expect(opening(second)).rejects.toMatchObject({
      code: 'rollback-detected',
      data: { counter: index },
    })
    const attributes = ['-s', '8', '-a', 'nt=counter|authread|authwrite|no_da']
    await tpm.run('tpm2_nvdefine', index, '-C', 'o', ...attributes, '-p', 'guessed')
    await tpm.run('tpm2_nvincrement', index, '-C', index, '-P', 'guessed')
    await expect(opening(second)).rejects.toMatchObject({ code: 'rollback-detected' })
    expect(await opening(config)).toBe(1)
  })
  test('no tool gets a secret as an argument or in a file, and the object has no way round its policy', async () => {
    const config = await init()
    const seen = join(directory, 'seen')
    const rng = createRecordingRng()
    const lines = (tool: string, real: string): string =>
      [
        '#!/bin/sh',
        `echo ${tool} "$@" >> ${seen}`,
        `${real}/${tool} "$@"; code=$?`,
        `cat ${join(directory, 'tmp')}/*/* >> ${seen} 2>/dev/null`,
        'exit $code',
      ].join('\n')
    const aad = new Uint8Array(4)
    await withTools(directory, lines, async () => {
      const sealed = await (await openSealer({ config, env: {}, rng })).seal(Secret.copyOf(Buffer.from('x')), aad)
      const again = await openSealer({ config, env: {}, rng })
      await again.unseal(sealed, aad)
      await again.counter?.increment()
      // TPMT_PUBLIC: keyed hash, SHA-256, fixedTPM | fixedParent | adminWithPolicy | noDA, a policy of 32 bytes.
      expect(Buffer.from(sealed).includes(Buffer.from('0008000b000004920020', 'hex'))).toBe(true)
    })
    const text = await readFile(seen)
    for (const tool of ['tpm2_create ', 'tpm2_unseal', 'tpm2_nvincrement'])
      expect(text.toString('latin1')).toContain(tool)
    expect(text.length).toBeGreaterThan(2000)
    const drawn = rng.drawn.filter(({ length }) => length === 32)
    expect(drawn).toHaveLength(1)
    expect(
      findLeaks(
        drawn.map((bytes) => ({ name: 'wrapping key', bytes })),
        [{ name: 'tools', bytes: text }],
      ),
    ).toEqual([])
  })

  test('production refuses a machine that measures nothing, before anything is written', async () => {
    const blank = await newTpm('c')
    const asked = input({ env: { TKMS_SEALER_TCTI: blank.tcti } })
    await expect(initialiseNode(asked)).rejects.toMatchObject({ code: 'tpm-unmeasured' })
    await expect(readdir(asked.directory)).rejects.toMatchObject({ code: 'ENOENT' })
    await initialiseNode({ ...asked, profile: 'development' })
  })

  test('says that no TPM is there, and that the tools are not', async () => {
    const nowhere = input({ env: { TKMS_SEALER_TCTI: 'swtpm:path=/nowhere/at/all' } })
    await expect(initialiseNode(nowhere)).rejects.toMatchObject({ code: 'tpm-unavailable', retryable: true })
    const config = await init()
    const path = process.env['PATH']
    process.env['PATH'] = '/nowhere'
    try {
      await expect(opening(config)).rejects.toMatchObject({ code: 'tpm-unavailable' })
    } finally {
      process.env['PATH'] = path
    }
  })
})

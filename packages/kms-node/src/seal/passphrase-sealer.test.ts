import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type PassphraseSource, readPassphrase } from './passphrase.ts'
import {
  createPassphraseSealer,
  DEFAULT_SCRYPT,
  type PassphraseSealer,
  type ScryptParams,
} from './passphrase-sealer.ts'

const rng = { bytes: (length: number): Uint8Array => new Uint8Array(randomBytes(length)) }
const cheap: ScryptParams = { logN: 10, r: 8, p: 1 }
const make = (passphrase: string, params: ScryptParams = cheap): PassphraseSealer =>
  createPassphraseSealer({ passphrase: Secret.copyOf(Buffer.from(passphrase)), rng, params })
const aad = Uint8Array.of(1, 2, 3)
const secret = (): Secret => Secret.copyOf(Buffer.from('the keyring'))

describe('passphrase sealer', () => {
  it('opens in another process with the same passphrase and in no other way', async () => {
    const sealed = await make('correct horse').seal(secret(), aad)
    const opened = await make('correct horse').unseal(sealed, aad)
    expect(opened.use((bytes) => Buffer.from(bytes).toString())).toBe('the keyring')
    await expect(make('correct horsf').unseal(sealed, aad)).rejects.toMatchObject({ code: 'unseal-failed' })
    await expect(make('correct horse').unseal(sealed, Uint8Array.of(1, 2))).rejects.toMatchObject({
      code: 'unseal-failed',
    })
  })

  it('refuses every changed byte and every truncation', async () => {
    const sealer = make('correct horse')
    const sealed = await sealer.seal(secret(), aad)
    for (const at of [0, 1, 2, 3, 4, 36, 48, sealed.length - 1]) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 0x80
      await expect(sealer.unseal(changed, aad), `byte ${at}`).rejects.toMatchObject({ code: 'unseal-failed' })
    }
    for (const length of [0, 3, 35, 36, 50, sealed.length - 1])
      await expect(sealer.unseal(sealed.slice(0, length), aad)).rejects.toMatchObject({ code: 'unseal-failed' })
  })

  it('goes on under the salt it found, and under a new one when its own cost is another', async () => {
    const sealed = await make('correct horse').seal(secret(), aad)
    const header = Buffer.from(sealed.subarray(0, 36)).toString('hex')
    const same = make('correct horse')
    await same.unseal(sealed, aad)
    expect(
      Buffer.from(await same.seal(secret(), aad))
        .toString('hex')
        .startsWith(header),
    ).toBe(true)
    const dearer = make('correct horse', { logN: 11, r: 8, p: 1 })
    await dearer.unseal(sealed, aad)
    const again = await dearer.seal(secret(), aad)
    expect(again[1]).toBe(11)
  })

  it('costs 128 MiB by default and refuses costs out of range', () => {
    expect(128 * 2 ** DEFAULT_SCRYPT.logN * DEFAULT_SCRYPT.r).toBe(128 * 1024 * 1024)
    expect(() => make('correct horse', { logN: 9, r: 8, p: 1 })).toThrow(
      expect.objectContaining({ code: 'unseal-failed' }),
    )
  })
})

describe('passphrase', () => {
  const read = async (source: Omit<PassphraseSource, 'profile'> & Partial<PassphraseSource>): Promise<string> =>
    (await readPassphrase({ profile: 'production', ...source })).use((bytes) => Buffer.from(bytes).toString())

  it('comes from the configured file, the file of the environment, or the environment, which forgets it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-pass-'))
    const file = join(directory, 'passphrase')
    await writeFile(file, 'from the file!\r\n', { mode: 0o600 })
    const env: Record<string, string | undefined> = {
      TKMS_PASSPHRASE: 'from the environment',
      TKMS_PASSPHRASE_FILE: '/nowhere',
    }
    expect(await read({ file, env })).toBe('from the file!')
    expect(env).not.toHaveProperty('TKMS_PASSPHRASE')
    expect(await read({ env: { TKMS_PASSPHRASE_FILE: file } })).toBe('from the file!')
    expect(await read({ env: { TKMS_PASSPHRASE: 'from the environment' } })).toBe('from the environment')
    await rm(directory, { recursive: true })
  })

  it.each([
    [0o644, true],
    [0o602, true],
    [0o440, false],
    [0o400, false],
  ])('in a file of mode %o is refused in production, and warned of in development: %s', async (mode, isOpen) => {
    const directory = await mkdtemp(join(tmpdir(), 'tkms-pass-'))
    onTestFinished(() => rm(directory, { recursive: true }))
    const file = join(directory, 'passphrase')
    await writeFile(file, 'from the file!')
    await chmod(file, mode)
    const warnings: string[] = []
    const asked = { env: { TKMS_PASSPHRASE_FILE: file }, onWarning: (warning: string) => void warnings.push(warning) }
    if (isOpen) await expect(read(asked)).rejects.toMatchObject({ code: 'unsafe-permissions', data: { file } })
    else expect(await read(asked)).toBe('from the file!')
    expect(warnings).toEqual([])
    expect(await read({ ...asked, profile: 'development' })).toBe('from the file!')
    expect(warnings).toEqual(isOpen ? [expect.stringContaining('chmod 600')] : [])
  })

  it('is refused when missing, unreadable, short or long', async () => {
    await expect(read({ env: {} })).rejects.toMatchObject({ code: 'passphrase-missing' })
    await expect(read({ file: '/nowhere/at/all', env: {} })).rejects.toMatchObject({ code: 'passphrase-unreadable' })
    await expect(read({ file: '/', env: {} })).rejects.toMatchObject({ code: 'passphrase-unreadable' })
    await expect(read({ env: { TKMS_PASSPHRASE: 'short' } })).rejects.toMatchObject({ code: 'passphrase-weak' })
    await expect(read({ env: { TKMS_PASSPHRASE: 'x'.repeat(1025) } })).rejects.toMatchObject({
      code: 'passphrase-weak',
    })
  })
})

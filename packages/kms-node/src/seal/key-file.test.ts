import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemRng } from '../system.ts'
import { createKeyFileSealer } from './key-file.ts'
import { createPassphraseSealer } from './passphrase-sealer.ts'

const aad = Uint8Array.of(1, 2, 3)
const secret = (): Secret => Secret.copyOf(Buffer.from('the keyring'))
const text = (value: Secret): string => value.use((bytes) => Buffer.from(bytes).toString())

let directory: string
let file: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-key-file-'))
  file = join(directory, 'sealer.key')
})
afterEach(() => rm(directory, { recursive: true }))

describe('kms-file sealer', () => {
  it('makes its key once, and opens in another process with the same file and in no other way', async () => {
    const sealed = await createKeyFileSealer(file, systemRng).seal(secret(), aad)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const key = await readFile(file, 'utf8')
    const second = createKeyFileSealer(file, systemRng)
    const other = await second.seal(secret(), aad)
    expect(await readFile(file, 'utf8')).toBe(key)
    expect(text(await second.unseal(sealed, aad))).toBe('the keyring')
    expect(text(await second.unseal(other, aad))).toBe('the keyring')
    await expect(second.unseal(sealed, Uint8Array.of(1, 2))).rejects.toMatchObject({ code: 'unseal-failed' })
    await writeFile(file, randomBytes(32).toString('hex'))
    await expect(createKeyFileSealer(file, systemRng).unseal(sealed, aad)).rejects.toMatchObject({
      code: 'unseal-failed',
    })
    await writeFile(file, key)
    expect(text(await createKeyFileSealer(file, systemRng).unseal(sealed, aad))).toBe('the keyring')
  })

  it('refuses every changed byte and every truncation', async () => {
    const sealer = createKeyFileSealer(file, systemRng)
    const sealed = await sealer.seal(secret(), aad)
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 0x80
      await expect(sealer.unseal(changed, aad), `byte ${at}`).rejects.toMatchObject({ code: 'unseal-failed' })
    }
    for (let length = 0; length < sealed.length; length++)
      await expect(sealer.unseal(sealed.slice(0, length), aad)).rejects.toMatchObject({ code: 'unseal-failed' })
    expect(text(await sealer.unseal(sealed, aad))).toBe('the keyring')
  })

  it.each([
    ['nothing', undefined, 0o600],
    ['too few digits', 'abcd', 0o600],
    ['more than a key', `${'ab'.repeat(32)}\n\n`, 0o600],
    ['a key that others may read', 'ab'.repeat(32), 0o640],
  ])('refuses a file with %s, and makes no new one', async (_name, content, mode) => {
    const sealed = await createKeyFileSealer(file, systemRng).seal(secret(), aad)
    await rm(file)
    if (content !== undefined) await writeFile(file, content)
    if (content !== undefined) await chmod(file, mode)
    const opening = createKeyFileSealer(file, systemRng).unseal(sealed, aad)
    await expect(opening).rejects.toMatchObject({ code: 'key-file-refused', data: { file } })
    if (content === undefined) await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
    else expect(await readFile(file, 'utf8')).toBe(content)
  })

  it('and another provider refuse what the other sealed, naming both', async () => {
    const fileSealer = createKeyFileSealer(file, systemRng)
    const passphrase = Secret.copyOf(Buffer.from('correct horse'))
    const passphraseSealer = createPassphraseSealer({
      passphrase,
      rng: systemRng,
      params: { logN: 10, r: 8, p: 1 },
    })
    await expect(passphraseSealer.unseal(await fileSealer.seal(secret(), aad), aad)).rejects.toMatchObject({
      code: 'sealer-mismatch',
      data: { sealedBy: 'kms-file', configured: 'passphrase' },
    })
    await expect(fileSealer.unseal(await passphraseSealer.seal(secret(), aad), aad)).rejects.toMatchObject({
      code: 'sealer-mismatch',
      data: { sealedBy: 'passphrase', configured: 'kms-file' },
    })
  })
})

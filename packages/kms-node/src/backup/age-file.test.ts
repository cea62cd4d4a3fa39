import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createIdentityFile, decryptWithIdentities, encryptToRecipients, readIdentityFile } from './age-file.ts'
import { requireUnread } from './restore.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-age-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function identity(name: string): Promise<{ readonly file: string; readonly recipient: string }> {
  const { recipient, content } = await createIdentityFile(0)
  const file = join(directory, name)
  await writeFile(
    file,
    content.use((bytes) => Uint8Array.from(bytes)),
    { mode: 0o600 },
  )
  return { file, recipient }
}

describe('age', () => {
  test('every recipient opens it, nobody else does', async () => {
    const [alice, bob, mallory] = await Promise.all(['alice', 'bob', 'mallory'].map(identity))
    if (alice === undefined || bob === undefined || mallory === undefined) throw new Error('three identities')
    const sealed = await encryptToRecipients(Secret.copyOf(Uint8Array.of(1, 2, 3)), [alice.recipient, bob.recipient])
    for (const { file } of [alice, bob]) {
      const opened = await decryptWithIdentities(sealed, await readIdentityFile(file))
      expect(opened.use((bytes) => [...bytes])).toEqual([1, 2, 3])
    }
    await expect(decryptWithIdentities(sealed, await readIdentityFile(mallory.file))).rejects.toMatchObject({
      code: 'wrong-identity',
    })
    sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1
    await expect(decryptWithIdentities(sealed, await readIdentityFile(alice.file))).rejects.toMatchObject({
      code: 'wrong-identity',
    })
  })

  test('what is no recipient is refused, and a secret key is not repeated in the error', async () => {
    const { recipient, content } = await createIdentityFile(0)
    const secretKey = content.use((bytes) => /AGE-SECRET-KEY-\S+/.exec(Buffer.from(bytes).toString())?.[0] ?? '')
    for (const recipients of [[], ['age1nonsense'], [recipient, 'ssh-ed25519 AAAA'], [secretKey]]) {
      const error: unknown = await encryptToRecipients(new Secret(new Uint8Array(1)), recipients).catch(
        (cause: unknown) => cause,
      )
      expect(error).toMatchObject({ code: 'bad-recipient' })
      expect(JSON.stringify(error)).not.toContain(secretKey)
    }
  })

  test('an identity file holds identities and comments, and nothing else', async () => {
    const file = join(directory, 'file')
    await expect(readIdentityFile(file)).rejects.toMatchObject({ code: 'identity-unreadable' })
    await expect(readIdentityFile(directory)).rejects.toMatchObject({ code: 'identity-unreadable' })
    for (const text of ['', '# nothing\n', 'passphrase\n', 'A'.repeat(70_000)]) {
      await writeFile(file, text, { mode: 0o600 })
      await expect(readIdentityFile(file)).rejects.toMatchObject({ code: 'identity-unreadable' })
    }
  })

  test('one that every user can read opens nothing in production', async () => {
    const { file } = await identity('open')
    const warnings: string[] = []
    const warn = (warning: string): void => void warnings.push(warning)
    requireUnread(await readIdentityFile(file), 'production', warn)
    await chmod(file, 0o604)
    const open = await readIdentityFile(file)
    expect(() => requireUnread(open, 'production', warn)).toThrow(
      expect.objectContaining({ code: 'unsafe-permissions' }) as Error,
    )
    expect(warnings).toEqual([])
    requireUnread(open, 'development', warn)
    expect(warnings).toEqual([expect.stringContaining('chmod 600')])
  })
})

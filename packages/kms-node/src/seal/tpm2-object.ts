import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Secret } from '@tkms/dkg'
import type { Tpm2Tools } from './tpm2-tools.ts'

/** A sealed object as it lies on the disk: its parent, the storage primary of this TPM, encrypted the private part. */
export interface SealedObject {
  readonly publicPart: Uint8Array
  readonly privatePart: Uint8Array
}

/**
 * The storage primary: the same key from the same seed after every reboot and reset, another one in every other TPM. It is a parent and
 * nothing else, so it has no secret of its own to ask for.
 */
const PRIMARY_ATTRIBUTES = 'restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'
/** No userwithauth: the policy cannot be gone round with an empty password. No sensitivedataorigin: the data is ours. */
const SEALED_ATTRIBUTES = 'fixedtpm|fixedparent|adminwithpolicy|noda'

/** A TPM without a resource manager keeps what was loaded until it is full. */
const flush = async (tools: Tpm2Tools): Promise<void> =>
  void (await tools.run({ tool: 'tpm2_flushcontext', args: ['-t'] }))

async function makePrimary(tools: Tpm2Tools, context: string): Promise<void> {
  const args = ['-Q', '-C', 'o', '-g', 'sha256', '-G', 'ecc256:aes128cfb', '-a', PRIMARY_ATTRIBUTES, '-c', context]
  await tools.run({ tool: 'tpm2_createprimary', args })
}

/** A policy session over the PCRs, ended whatever happens: a TPM has room for a few. @param kind further arguments of its start */
async function withPcrs<T>(
  tools: Tpm2Tools,
  { pcrs, session, kind }: { readonly pcrs: string; readonly session: string; readonly kind: readonly string[] },
  use: () => Promise<T>,
  digest: readonly string[] = [],
): Promise<T> {
  await tools.run({ tool: 'tpm2_startauthsession', args: [...kind, '-S', session] })
  try {
    await tools.run({ tool: 'tpm2_policypcr', args: ['-Q', '-S', session, '-l', pcrs, ...digest] })
    return await use()
  } finally {
    await tools.run({ tool: 'tpm2_flushcontext', args: [session] })
  }
}

/**
 * Seals at most 128 bytes to this TPM and to values of its PCRs.
 * @param pcrs "sha256:0,1,2"
 * @param values SHA-256 over the values, in hex; default: the present ones
 * @throws KmsError `tpm-unavailable`, `tpm-refused`
 */
export function sealToPcrs(tools: Tpm2Tools, pcrs: string, secret: Secret, values?: string): Promise<SealedObject> {
  return tools.session(async (directory) => {
    const at = (name: string): string => join(directory, name)
    try {
      const trial = { pcrs, session: at('session'), kind: [] }
      await withPcrs(tools, trial, async () => {}, ['-L', at('policy'), ...(values === undefined ? [] : [values])])
      await makePrimary(tools, at('primary'))
      const args = ['-Q', '-C', at('primary'), '-g', 'sha256', '-a', SEALED_ATTRIBUTES, '-L', at('policy'), '-i', '-']
      await tools.run({ tool: 'tpm2_create', args: [...args, '-u', at('public'), '-r', at('private')], input: secret })
      return { publicPart: await readFile(at('public')), privatePart: await readFile(at('private')) }
    } finally {
      await flush(tools)
    }
  })
}

/**
 * The contrary, while the PCRs have the values they had. The session is salted with the primary and encrypts what the TPM answers, so
 * that the bus between it and the processor does not show the secret.
 * @throws KmsError `tpm-unavailable`, `tpm-refused`
 */
export function unsealFromPcrs(tools: Tpm2Tools, pcrs: string, object: SealedObject): Promise<Secret> {
  return tools.session(async (directory) => {
    const at = (name: string): string => join(directory, name)
    await writeFile(at('public'), object.publicPart, { mode: 0o600 })
    await writeFile(at('private'), object.privatePart, { mode: 0o600 })
    try {
      await makePrimary(tools, at('primary'))
      const parts = ['-u', at('public'), '-r', at('private')]
      await tools.run({ tool: 'tpm2_load', args: ['-Q', '-C', at('primary'), ...parts, '-c', at('object')] })
      await flush(tools)
      const salted = { pcrs, session: at('session'), kind: ['--policy-session', '-c', at('primary')] }
      return await withPcrs(tools, salted, () =>
        tools.run({ tool: 'tpm2_unseal', args: ['-c', at('object'), '-p', `session:${at('session')}`] }),
      )
    } finally {
      await flush(tools)
    }
  })
}

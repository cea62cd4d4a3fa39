import { bytesKey } from '@tkms/dkg'
import { clientError } from '../errors.ts'
import { parseHex } from '../hex.ts'
import { readSigner } from '../node/key-files.ts'
import { MAX_ENVELOPE_BYTES, type OutputOptions, PUBLIC_MODE, readInput, writeOutput } from './input-output.ts'
import { type ClusterOptions, withOfflineClient } from './session.ts'
import type { Terminal } from './terminal.ts'

export interface GrantCommand extends ClusterOptions, OutputOptions {
  readonly signer: string
  readonly requester: string
  readonly recipient: string
  readonly lifetime: number
  readonly key?: string
  readonly chainId: number
}

const RECIPIENT = /^spki-sha256:(0x[0-9a-f]{64})$/

/** `tkms grant`: an issuer's word that one requester may have one envelope opened. Sends nothing. */
export async function runGrant(terminal: Terminal, input: string, options: GrantCommand): Promise<void> {
  const [, hash] = RECIPIENT.exec(options.recipient) ?? []
  if (hash === undefined)
    throw clientError(
      'bad-argument',
      `--recipient ${options.recipient} is no RSA key's name: give what the requester's "keygen --type recipient" printed, spki-sha256:0x and 64 hex digits`,
    )
  const issuer = await readSigner(options.signer)
  await withOfflineClient(
    terminal,
    options,
    async (kms) => {
      const envelope = await readInput(terminal, input, MAX_ENVELOPE_BYTES)
      const { grant, grantId, expiresAt } = await kms.issueGrant(envelope, {
        requester: options.requester,
        recipientSpkiHash: parseHex(hash, 32, '--recipient'),
        lifetimeSeconds: options.lifetime,
        chainId: options.chainId,
        ...(options.key !== undefined && { key: options.key }),
      })
      const report = {
        grantId: `0x${bytesKey(grantId)}`,
        issuer: issuer.publicKeyId,
        expiresAt: new Date(expiresAt * 1000).toISOString(),
      }
      await writeOutput(terminal, grant, { ...options, mode: PUBLIC_MODE, report })
    },
    issuer,
  )
}

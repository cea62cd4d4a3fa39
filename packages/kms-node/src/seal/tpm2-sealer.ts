import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { attempt, decodeAll, KmsError, Secret, u32, varBytes } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Rng } from '../ports.ts'
import { KEY_BYTES } from '../store/aead.ts'
import { counterAuth } from './counter-auth.ts'
import { createKeySealer, type NodeSealer, type WrappingKey, type WrappingKeys } from './key-sealer.ts'
import { unsealFailed } from './sealed-format.ts'
import { type CounterPlace, defineCounter, discardCounter, type NewCounter, openCounter } from './tpm2-counter.ts'
import { type SealedObject, sealToPcrs, unsealFromPcrs } from './tpm2-object.ts'
import { requireMeasured } from './tpm2-pcrs.ts'
import { createTpm2Tools, type Tpm2Tools } from './tpm2-tools.ts'

const NAME_BYTES = 34
const MAX_PART_BYTES = 2048

export interface Tpm2SealerOptions {
  /** How tpm2-tools reach the TPM: "device:/dev/tpmrm0". */
  readonly tcti: string
  /** "sha256:0,1,2,3,4,5,7". */
  readonly pcrs: string
  /** Refuses to make a store where none of these PCRs was ever extended: the firmware measures nothing. */
  readonly requireMeasured: boolean
}

type OpenCounter = ReturnType<typeof openCounter>

/** What stands before everything sealed: var pcrs || var public part || var private part || u32 NV index || name of the counter(34). */
interface Tpm2Header {
  readonly pcrs: string
  readonly object: SealedObject
  readonly counter: CounterPlace
}

/**
 * Seals under a random wrapping key of 32 bytes, which a TPM 2.0 keeps: it opens in this TPM alone, and only while the PCRs have the
 * values they had when the store was made. The TPM's own blob of it is stored before every sealed keyring, so it survives reboots and
 * resets. A monotonic counter of the TPM goes with it, whose password is derived from the wrapping key.
 * @throws from its methods KmsError `tpm-unavailable` (retryable), `tpm-refused`, `tpm-unmeasured`, `sealer-mismatch`, `unseal-failed`,
 * `rollback-detected`
 */
export function createTpm2Sealer(options: Tpm2SealerOptions, rng: Rng): NodeSealer {
  const tools = createTpm2Tools({ tcti: options.tcti })
  let open: { readonly counter: OpenCounter; readonly auth: Secret } | undefined
  const take = (place: CounterPlace, auth: Secret): void => {
    open?.auth.destroy()
    open = { counter: openCounter(tools, place, auth), auth }
  }
  const present = (): OpenCounter => {
    if (open === undefined) throw new KmsError('tpm-refused', 'the counter of no store is open')
    return open.counter
  }
  const keys: WrappingKeys = {
    provider: 'tpm2',
    create: (note) => makeKey(tools, options, { rng, note, take }),
    async open(bytes) {
      const header = decodeHeader(bytes)
      requireSamePcrs(header.pcrs, options.pcrs)
      const key = await unsealKey(tools, header)
      take(header.counter, counterAuth(key))
      return key
    },
    counter: {
      read: () => present().read(),
      increment: () => present().increment(),
      discard: (place) => discardCounter(tools, place),
    },
    check: () => requireMeasured(tools, options.pcrs, options.requireMeasured),
    destroy: () => open?.auth.destroy(),
  }
  return createKeySealer(keys, rng)
}

async function makeKey(
  tools: Tpm2Tools,
  { pcrs, requireMeasured: strict }: Tpm2SealerOptions,
  { rng, note, take }: NewCounter & { readonly take: (place: CounterPlace, auth: Secret) => void },
): Promise<WrappingKey> {
  await requireMeasured(tools, pcrs, strict)
  const key = new Secret(rng.bytes(KEY_BYTES))
  const object = await sealToPcrs(tools, pcrs, key)
  const auth = counterAuth(key)
  const counter = await defineCounter(tools, { rng, note }, auth)
  take(counter, auth)
  return { key, header: encodeHeader({ pcrs, object, counter }) }
}

async function unsealKey(tools: Tpm2Tools, { pcrs, object }: Tpm2Header): Promise<Secret> {
  const key = await unsealFromPcrs(tools, pcrs, object).catch((cause: unknown) => {
    if (!isKmsError(cause) || cause.code !== 'tpm-refused') throw cause
    throw unsealFailed(
      `the TPM does not unseal: this is another TPM, or what was started since this machine's reset is not what it was when the store was made (PCRs ${pcrs}): after a change of firmware, boot loader or kernel restore a backup or replace the node`,
      cause,
    )
  })
  if (key.length === KEY_BYTES) return key
  key.destroy()
  throw unsealFailed('what the TPM unseals is no key of ours')
}

function requireSamePcrs(sealed: string, configured: string): void {
  if (sealed === configured) return
  throw new KmsError(
    'sealer-mismatch',
    `this store was sealed to the PCRs ${sealed}, and sealer.pcrs is ${configured}: PCRs are chosen when a store is made`,
    { data: { sealedBy: `tpm2 ${sealed}`, configured: `tpm2 ${configured}` } },
  )
}

const encodeHeader = ({ pcrs, object, counter }: Tpm2Header): Uint8Array =>
  concatBytes(
    varBytes(utf8ToBytes(pcrs)),
    varBytes(object.publicPart),
    varBytes(object.privatePart),
    u32(counter.index),
    counter.name,
  )

function decodeHeader(bytes: Uint8Array): Tpm2Header {
  const header = attempt(() =>
    decodeAll(bytes, 'tpm2', (reader) => ({
      pcrs: Buffer.from(reader.var(MAX_PART_BYTES, 'tpm2.pcrs')).toString('latin1'),
      object: {
        publicPart: reader.var(MAX_PART_BYTES, 'tpm2.public'),
        privatePart: reader.var(MAX_PART_BYTES, 'tpm2.private'),
      },
      counter: { index: reader.u32('tpm2.index'), name: reader.take(NAME_BYTES, 'tpm2.name') },
    })),
  )
  if (header === undefined) throw unsealFailed('the sealed file is damaged')
  return header
}

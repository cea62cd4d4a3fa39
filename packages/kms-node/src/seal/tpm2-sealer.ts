import { concatBytes } from '@noble/hashes/utils.js'
import { KmsError, Secret } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { Rng } from '../ports.ts'
import { KEY_BYTES } from '../store/aead.ts'
import { counterAuth } from './counter-auth.ts'
import { createKeySealer, type NodeSealer, type WrappingKey, type WrappingKeys } from './key-sealer.ts'
import type { PcrValues } from './pcr-values.ts'
import { unsealFailed } from './sealed-format.ts'
import { type CounterPlace, defineCounter, discardCounter, type NewCounter, openCounter } from './tpm2-counter.ts'
import { decodeTpm2Header, encodeTpm2Header, MAX_OBJECTS, type Tpm2Header } from './tpm2-header.ts'
import { sealToPcrs, unsealFromPcrs } from './tpm2-object.ts'
import { requireMeasured, unmeasured } from './tpm2-pcrs.ts'
import { createTpm2Tools, type Tpm2Tools } from './tpm2-tools.ts'

const AUTH_BYTES = 32

export interface Tpm2SealerOptions {
  /** How tpm2-tools reach the TPM: "device:/dev/tpmrm0". */
  readonly tcti: string
  /** "sha256:0,1,2,3,4,5,7". */
  readonly pcrs: string
  /** Refuses to make a store where none of these PCRs was ever extended: the firmware measures nothing. */
  readonly requireMeasured: boolean
}

type OpenCounter = ReturnType<typeof openCounter>

/**
 * Seals under a random wrapping key of 32 bytes, which a TPM 2.0 keeps: it opens in this TPM alone, and only while the PCRs have the
 * values they had when the store was made, or others that `reseal` was told. The TPM's own blob of it is stored before every sealed
 * keyring, so it survives reboots and resets. A monotonic counter of the TPM goes with it, whose password is derived from the store's
 * first wrapping key.
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
  const present = (): { readonly counter: OpenCounter; readonly auth: Secret } => {
    if (open === undefined) throw new KmsError('tpm-refused', 'the counter of no store is open')
    return open
  }
  const keys: WrappingKeys = {
    provider: 'tpm2',
    create: (note) => makeKey(tools, options, { rng, note, take }),
    async open(bytes) {
      const header = decodeTpm2Header(bytes)
      requireSamePcrs(header.pcrs, options.pcrs)
      const { key, auth } = await unsealKey(tools, header)
      take(header.counter, auth)
      return key
    },
    reseal: ({ header }, expected) =>
      makeKeyAgain(tools, options, { rng, auth: present().auth, counter: decodeTpm2Header(header).counter, expected }),
    counter: {
      read: () => present().counter.read(),
      increment: () => present().counter.increment(),
      discard: (place) => discardCounter(tools, place),
      remove: async () => present().counter.remove(),
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
  return { key, header: encodeTpm2Header({ pcrs, objects: [object], counter }) }
}

/** A new key beside the password that the counter keeps: what was sealed for other starts opens nothing that is sealed from now on. */
async function makeKeyAgain(
  tools: Tpm2Tools,
  { pcrs, requireMeasured: strict }: Tpm2SealerOptions,
  { rng, auth, counter, expected }: Resealing,
): Promise<WrappingKey> {
  if (expected.length >= MAX_OBJECTS)
    throw new KmsError('usage', `expects at most ${MAX_OBJECTS - 1} other starts, not ${expected.length}`)
  await requireMeasured(tools, pcrs, strict)
  if (strict && expected.some(({ isMeasured }) => !isMeasured))
    throw unmeasured(`none of the PCRs ${pcrs} is extended where these values are from`, pcrs)
  const key = new Secret(rng.bytes(KEY_BYTES))
  const both = key.use((bytes) => auth.use((password) => new Secret(concatBytes(bytes, password))))
  try {
    const objects = [await sealToPcrs(tools, pcrs, both)]
    for (const { digest } of expected) objects.push(await sealToPcrs(tools, pcrs, both, digest))
    return { key, header: encodeTpm2Header({ pcrs, objects, counter }) }
  } catch (cause) {
    key.destroy()
    throw cause
  } finally {
    both.destroy()
  }
}

interface Resealing {
  readonly rng: Rng
  readonly auth: Secret
  readonly counter: CounterPlace
  readonly expected: readonly PcrValues[]
}

interface Unsealed {
  readonly key: Secret
  readonly auth: Secret
}

/** By the first object whose values are the present ones. What it holds: key(32), or key(32) || password of the counter(32). */
async function unsealKey(tools: Tpm2Tools, { pcrs, objects }: Tpm2Header): Promise<Unsealed> {
  let refused: unknown
  for (const object of objects) {
    try {
      return split(await unsealFromPcrs(tools, pcrs, object))
    } catch (cause) {
      if (!isKmsError(cause) || cause.code !== 'tpm-refused') throw cause
      refused = cause
    }
  }
  throw unsealFailed(
    `the TPM does not unseal: this is another TPM, or what was started since this machine's reset is neither what it was when the store was sealed, nor what reseal was told to expect (PCRs ${pcrs}): start the former system again, or restore a backup or replace the node`,
    refused,
  )
}

function split(unsealed: Secret): Unsealed {
  try {
    return unsealed.use((bytes) => {
      if (bytes.length !== KEY_BYTES && bytes.length !== KEY_BYTES + AUTH_BYTES)
        throw unsealFailed('what the TPM unseals is no key of ours')
      const key = Secret.copyOf(bytes.subarray(0, KEY_BYTES))
      return { key, auth: bytes.length === KEY_BYTES ? counterAuth(key) : Secret.copyOf(bytes.subarray(KEY_BYTES)) }
    })
  } finally {
    unsealed.destroy()
  }
}

function requireSamePcrs(sealed: string, configured: string): void {
  if (sealed === configured) return
  throw new KmsError(
    'sealer-mismatch',
    `this store was sealed to the PCRs ${sealed}, and sealer.pcrs is ${configured}: PCRs are chosen when a store is made`,
    { data: { sealedBy: `tpm2 ${sealed}`, configured: `tpm2 ${configured}` } },
  )
}

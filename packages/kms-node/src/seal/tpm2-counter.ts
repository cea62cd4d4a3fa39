import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { KmsError, type Secret, u32 } from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { MonotonicCounter, Rng } from '../ports.ts'
import { storeError } from '../store/errors.ts'
import type { Tpm2Tools } from './tpm2-tools.ts'

/** Of the range that the TCG's registry leaves to the owner, a part of our own. */
const FIRST_INDEX = 0x0181_0000
const INDICES = 0x1_0000
const DEFINE_ATTEMPTS = 8
const INCREMENT_ATTEMPTS = 4
const RETRY_MS = 250
const COUNTER_BYTES = 8
/** Whoever knows the index's own password, and nobody else, reads and counts; the dictionary lockout of the TPM is left alone. */
const ATTRIBUTES = 'nt=counter|authread|authwrite|no_da'
const POLICY = /^\s*authorization policy:\s*([0-9A-Fa-f]{64})\s*$/m
const NAME = /^\s*name:\s*([0-9a-f]{68})\s*$/m

/** An NV counter of the TPM: it never falls, not even when the owner deletes it and makes it anew. */
export interface CounterPlace {
  /** Handle, 0x01810000..0x0181ffff. */
  readonly index: number
  /** u16 algorithm || SHA-256 over its public area, 34 bytes: a counter with other attributes has another name. */
  readonly name: Uint8Array
}

const hexOf = (index: number): string => `0x${index.toString(16).padStart(8, '0')}`

export interface NewCounter {
  readonly rng: Rng
  /** Told u32 index || tag(16) before the index is defined. */
  readonly note: (place: Uint8Array) => Promise<void>
}

const TAG_BYTES = 16
/** A policy that nothing satisfies, and nothing of the counter asks for: it only shows whose the index is. */
const policyOf = (tag: Uint8Array): Uint8Array => sha256(concatBytes(utf8ToBytes('TKMS/1/seal/tpm2/counter'), tag))

/**
 * Makes a counter under a free index and counts once, so that it has a value.
 * @param auth 32 ASCII characters, the index's password; borrowed
 * @throws KmsError `tpm-unavailable`, `tpm-refused`
 */
export function defineCounter(tools: Tpm2Tools, making: NewCounter, auth: Secret): Promise<CounterPlace> {
  return tools.session(async (directory) => {
    const index = await defineFree(tools, { ...making, policyFile: join(directory, 'policy') }, auth)
    const handle = hexOf(index)
    await tools.run({ tool: 'tpm2_nvincrement', args: ['-Q', handle, '-C', handle, '-P', 'file:-'], input: auth })
    return { index, name: await readName(tools, index) }
  })
}

async function defineFree(
  tools: Tpm2Tools,
  { rng, note, policyFile }: NewCounter & { readonly policyFile: string },
  auth: Secret,
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const [high = 0, low = 0] = rng.bytes(2)
    const index = FIRST_INDEX + (((high << 8) | low) % INDICES)
    const tag = rng.bytes(TAG_BYTES)
    await note(concatBytes(u32(index), tag))
    await writeFile(policyFile, policyOf(tag), { mode: 0o600 })
    const attributes = ['-s', `${COUNTER_BYTES}`, '-a', ATTRIBUTES, '-L', policyFile]
    const args = ['-Q', hexOf(index), '-C', 'o', ...attributes, '-p', 'file:-']
    try {
      await tools.run({ tool: 'tpm2_nvdefine', args, input: auth })
      return index
    } catch (cause) {
      if (!isKmsError(cause) || cause.code !== 'tpm-refused' || attempt === DEFINE_ATTEMPTS) throw cause
    }
  }
}

/**
 * Removes the counter of a store that never came to be. One that is not there, or is another store's, stays as it is.
 * @param place u32 index || tag(16), as it was noted; anything else was cut short before an index was defined
 * @throws KmsError `tpm-unavailable`, `tpm-refused`
 */
export function discardCounter(tools: Tpm2Tools, place: Uint8Array): Promise<void> {
  return tools.session(async () => {
    if (place.length !== 4 + TAG_BYTES) return
    const index = Buffer.from(place).readUInt32BE(0)
    if (index < FIRST_INDEX || index >= FIRST_INDEX + INDICES) return
    const [, policy = ''] = POLICY.exec((await readPublic(tools, index).catch(isAbsent)) ?? '') ?? []
    if (policy.toLowerCase() !== bytesToHex(policyOf(place.subarray(4)))) return
    await tools.run({ tool: 'tpm2_nvundefine', args: ['-Q', '-C', 'o', hexOf(index)] })
  })
}

/** No such handle (TPM_RC_HANDLE). */
const ABSENT = /0x0*(?:18b|28b)\b|handle is not correct/i

function isAbsent(cause: unknown): undefined {
  if (isKmsError(cause) && cause.code === 'tpm-refused' && ABSENT.test(cause.message)) return undefined
  throw cause
}

async function readPublic(tools: Tpm2Tools, index: number): Promise<string> {
  const output = await tools.run({ tool: 'tpm2_nvreadpublic', args: [hexOf(index)] })
  return output.use((bytes) => Buffer.from(bytes).toString('latin1'))
}

async function readName(tools: Tpm2Tools, index: number): Promise<Uint8Array> {
  const [, name] = NAME.exec(await readPublic(tools, index)) ?? []
  if (name === undefined) throw new KmsError('tpm-refused', 'the TPM does not name its counter')
  return new Uint8Array(Buffer.from(name, 'hex'))
}

/**
 * The counter of a store.
 * @param auth as it was defined with; borrowed
 * @throws from its methods KmsError `tpm-unavailable`, and `rollback-detected` when the counter is gone or is another one
 */
export function openCounter(
  tools: Tpm2Tools,
  place: CounterPlace,
  auth: Secret,
): Pick<MonotonicCounter, 'read' | 'increment' | 'remove'> {
  const handle = hexOf(place.index)
  const owner = ['-C', handle, '-P', 'file:-']

  const read = async (): Promise<number> => {
    const output = await gone(handle, async () => {
      if (Buffer.compare(await readName(tools, place.index), place.name) !== 0)
        throw new KmsError('tpm-refused', 'the counter has another name')
      return tools.run({ tool: 'tpm2_nvread', args: [handle, '-s', `${COUNTER_BYTES}`, ...owner], input: auth })
    })
    const value = output.use((bytes) =>
      bytes.length === COUNTER_BYTES ? Number(Buffer.from(bytes).readBigUInt64BE()) : Number.NaN,
    )
    if (!Number.isSafeInteger(value))
      throw new KmsError('tpm-refused', 'the TPM does not give the value of its counter')
    return value
  }
  const advance = async (): Promise<number> => {
    const before = await read()
    for (let attempt = 1; ; attempt++) {
      try {
        await tools.run({ tool: 'tpm2_nvincrement', args: ['-Q', handle, ...owner], input: auth })
      } catch (cause) {
        if (attempt === INCREMENT_ATTEMPTS) throw cause
        await new Promise((resolve) => setTimeout(resolve, attempt * RETRY_MS))
      }
      // A TPM that was busy, or limits its writes, may have counted although the tool failed.
      const value = await read()
      if (value > before) return value
    }
  }
  const remove = async (): Promise<void> => {
    // Only the one with this store's password: an index that was made anew is another store's.
    await read()
    await tools.run({ tool: 'tpm2_nvundefine', args: ['-Q', '-C', 'o', handle] })
  }
  return {
    read: () => tools.session(read),
    increment: () => tools.session(advance),
    remove: () => tools.session(remove),
  }
}

/**
 * What says for good that the counter is not the one: no such handle (TPM_RC_HANDLE), never counted (TPM_RC_NV_UNINITIALIZED), another
 * password (TPM_RC_BAD_AUTH, TPM_RC_AUTH_FAIL), another name. Anything else may be gone the next time: a TPM that is busy, or a tool that was too slow.
 */
const OTHER_COUNTER = /0x0*(?:18b|28b|14a|9a2|98e)\b|handle is not correct|another name|does not name/i

async function gone<T>(handle: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!isKmsError(cause) || cause.code !== 'tpm-refused' || !OTHER_COUNTER.test(cause.message)) throw cause
    throw storeError(
      'rollback-detected',
      `the TPM's counter ${handle} of this store is gone or was made anew: nothing shows any more that the store is the newest. Treat it as put back, and restore a backup or replace the node`,
      { cause, data: { counter: handle } },
    )
  }
}

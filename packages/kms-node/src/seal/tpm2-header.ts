import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { attempt, decodeAll, type Reader, u32, varBytes } from '@tkms/dkg'
import { unsealFailed } from './sealed-format.ts'
import type { CounterPlace } from './tpm2-counter.ts'
import type { SealedObject } from './tpm2-object.ts'

const NAME_BYTES = 34
const MAX_PART_BYTES = 1024
/** The present values of the PCRs and three that are expected. */
export const MAX_OBJECTS = 4

/** What stands before everything that a TPM seals. */
export interface Tpm2Header {
  readonly pcrs: string
  /** 1 to 4: the same key, each for other values of the PCRs. */
  readonly objects: readonly SealedObject[]
  readonly counter: CounterPlace
}

const encodeObject = ({ publicPart, privatePart }: SealedObject): Uint8Array =>
  concatBytes(varBytes(publicPart), varBytes(privatePart))

/** var pcrs || OBJECT || u32 NV index || name of the counter(34) || OBJECT*, with OBJECT = var public part || var private part. */
export function encodeTpm2Header({ pcrs, objects: [first, ...more], counter }: Tpm2Header): Uint8Array {
  return concatBytes(
    varBytes(utf8ToBytes(pcrs)),
    first === undefined ? new Uint8Array(0) : encodeObject(first),
    u32(counter.index),
    counter.name,
    ...more.map(encodeObject),
  )
}

/** @throws KmsError `unseal-failed` */
export function decodeTpm2Header(bytes: Uint8Array): Tpm2Header {
  const header = attempt(() => decodeAll(bytes, 'tpm2', readHeader))
  if (header === undefined) throw unsealFailed('the sealed file is damaged')
  return header
}

function readHeader(reader: Reader): Tpm2Header {
  const pcrs = Buffer.from(reader.var(MAX_PART_BYTES, 'tpm2.pcrs')).toString('latin1')
  const objects = [readObject(reader)]
  const counter = { index: reader.u32('tpm2.index'), name: reader.take(NAME_BYTES, 'tpm2.name') }
  while (reader.remaining > 0 && objects.length < MAX_OBJECTS) objects.push(readObject(reader))
  return { pcrs, objects, counter }
}

const readObject = (reader: Reader): SealedObject => ({
  publicPart: reader.var(MAX_PART_BYTES, 'tpm2.public'),
  privatePart: reader.var(MAX_PART_BYTES, 'tpm2.private'),
})

import { basename, dirname, join } from 'node:path'
import { KmsError, MAX_EVIDENCE_BYTES } from '@tkms/dkg'
import { readBounded } from '../files.ts'

/** The first byte of evidence is its version; JSON begins with another one. */
const EVIDENCE_VERSION = 1
const HEX = /^0x(?:[0-9a-f]{2})+$/i

/**
 * The bytes of a piece of evidence: the file itself, or where it is the JSON that lies beside it, the file that names. An `evidence` of
 * "0x.." is the bytes themselves.
 * @throws KmsError `no-evidence` when there are none: the file is missing, too long, no evidence, or an accusation without proof
 */
export async function readEvidence(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path)
  if (bytes[0] === EVIDENCE_VERSION) return bytes
  const named = evidenceField(bytes, path)
  if (HEX.test(named)) return Uint8Array.from(Buffer.from(named.slice(2), 'hex'))
  if (named !== basename(named)) throw noEvidence(path, 'names a file elsewhere as its evidence')
  return readFile(join(dirname(path), named))
}

async function readFile(path: string): Promise<Uint8Array> {
  const bytes = await readBounded(path, MAX_EVIDENCE_BYTES).catch((cause: unknown) => {
    throw noEvidence(path, 'cannot be read', cause)
  })
  if (bytes === undefined) throw noEvidence(path, 'does not exist')
  return bytes
}

function evidenceField(bytes: Uint8Array, path: string): string {
  const record = parse(bytes, path)
  if (typeof record !== 'object' || record === null) throw noEvidence(path, 'is no evidence')
  if ('evidence' in record && typeof record.evidence === 'string') return record.evidence
  throw noEvidence(path, 'carries no proof: it is one word against another, and names nobody')
}

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw noEvidence(path, 'is no evidence: neither its bytes nor the JSON beside them', cause)
  }
}

const noEvidence = (path: string, problem: string, cause?: unknown): KmsError<'no-evidence'> =>
  new KmsError('no-evidence', `${path} ${problem}`, { data: { path }, ...(cause !== undefined && { cause }) })

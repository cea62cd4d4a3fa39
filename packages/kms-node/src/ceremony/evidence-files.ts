import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { bytesKey, type CeremonyId, type Fault } from '@tkms/dkg'
import { replaceFile } from '../files.ts'

/** A fault as written beside its evidence. */
export interface FaultRecord {
  readonly ceremony: string
  readonly culprit: number
  readonly kind: Fault['kind']
  readonly certainty: Fault['certainty']
  readonly summary: string
  /** File name of the evidence bytes; absent when the fault is only alleged. */
  readonly evidence?: string
}

/**
 * Writes a fault to `<directory>/<ceremony>-<kind>-<culprit>.json`, its evidence to `.bin` beside it; both 0600, replaced atomically.
 * `kms-node evidence verify` needs nothing else.
 * @returns the path of the JSON file
 */
export async function writeEvidence(directory: string, ceremony: CeremonyId, fault: Fault): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const name = `${bytesKey(ceremony)}-${fault.kind}-${fault.culprit}`
  const record: FaultRecord = {
    ceremony: `0x${bytesKey(ceremony)}`,
    culprit: fault.culprit,
    kind: fault.kind,
    certainty: fault.certainty,
    summary: fault.summary,
    ...(fault.evidence.length > 0 && { evidence: `${name}.bin` }),
  }
  if (fault.evidence.length > 0) await replaceFile(join(directory, `${name}.bin`), fault.evidence)
  const path = join(directory, `${name}.json`)
  await replaceFile(path, `${JSON.stringify(record, undefined, 2)}\n`)
  return path
}

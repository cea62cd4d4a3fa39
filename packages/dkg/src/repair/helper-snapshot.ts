import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { decodeAll, list, type Reader, u16, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { participantIndex } from '../primitives/point.ts'
import { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import type { EnginePorts } from '../ceremony/engine-types.ts'
import { checkRequest } from './contribution.ts'
import { createHelperState, type HelperPhase, type HelperState, type KnownContribution } from './helper-state.ts'
import { decodeContribution, MAX_REPAIR_MESSAGE_BYTES, repairId } from './messages.ts'
import { decodeSignedBody, type SignedBody } from './signed-body.ts'
import type { RepairEnd, RepairParams } from './types.ts'

/**
 * A helper as bytes, sealed by the driver:
 * u8 1 || u8 phase || u8 end || var REQ || list(var M1) || list(u16 k || d_ik) || u8 hasSum || sigma; the M1 of this node is in the list.
 * Behind `done` no secret is left, and the bytes may be kept in clear.
 */
const VERSION = 1
const PHASES = ['waiting', 'seeding', 'collecting', 'summed', 'done'] as const
const ENDS: readonly RepairEnd[] = ['repaired', 'released', 'denied', 'expired', 'rolled-back', 'failed']

/** The returned secret is the caller's to destroy. */
export function encodeHelperSnapshot({ phase, signedRequest, contributions }: HelperState): Secret {
  const kept = phase.name === 'done' ? (phase.own === undefined ? [] : [phase.own]) : signedOf(contributions)
  const copies: Uint8Array[] = []
  const copy = (secret: Secret): Uint8Array => {
    const bytes = secret.use((inner) => Uint8Array.from(inner))
    copies.push(bytes)
    return bytes
  }
  const parts = 'parts' in phase ? [...phase.parts] : []
  const encodedParts = list(parts, ([helper, part]) => {
    const bytes = concatBytes(u16(helper), copy(part))
    copies.push(bytes)
    return bytes
  })
  const snapshot = concatBytes(
    u8(VERSION),
    u8(PHASES.indexOf(phase.name)),
    u8(phase.name === 'done' ? ENDS.indexOf(phase.reason) : 0),
    varBytes(signedRequest.bytes),
    list(kept, (signed) => varBytes(signed.bytes)),
    encodedParts,
    u8('sum' in phase ? 1 : 0),
    'sum' in phase ? copy(phase.sum) : new Uint8Array(0),
  )
  for (const bytes of [...copies, encodedParts]) bytes.fill(0)
  return new Secret(snapshot)
}

const signedOf = (contributions: ReadonlyMap<ParticipantIndex, KnownContribution>): SignedBody[] =>
  [...contributions.values()].map(({ signed }) => signed)

/** @throws KmsError `bad-encoding` when the bytes are not a snapshot of a helper of this sharing */
export function decodeHelperSnapshot(ports: EnginePorts, params: RepairParams, snapshot: Secret): HelperState {
  return snapshot.use((bytes) => decodeAll(bytes, 'snapshot', (reader) => readState(reader, ports, params)))
}

function readState(reader: Reader, { curve, verify }: EnginePorts, params: RepairParams): HelperState {
  if (reader.u8('version') !== VERSION) throw dkgError('bad-encoding', 'unknown version of a repair snapshot')
  const name = PHASES[reader.u8('phase')]
  const reason = ENDS[reader.u8('end')]
  const signedRequest = readSigned(reader)
  const request = checkRequest(verify, params.sharing, signedRequest)
  if (name === undefined || reason === undefined || request?.helpers.includes(params.self) !== true)
    throw dkgError('bad-encoding', 'the snapshot belongs to another repair')
  const state = createHelperState(params, signedRequest, request, repairId(signedRequest.body))
  for (const known of readContributions(reader, curve)) state.contributions.set(known.contribution.from, known)
  const parts = readParts(reader)
  const sum = reader.u8('sum') === 1 ? new Secret(reader.take(32, 'sum')) : undefined
  state.phase = phaseOf({ name, reason, own: state.contributions.get(params.self)?.signed, parts, sum })
  return state
}

const readSigned = (reader: Reader): SignedBody =>
  decodeSignedBody(reader.var(MAX_REPAIR_MESSAGE_BYTES, 'signed'), MAX_REPAIR_MESSAGE_BYTES)

const readContributions = (reader: Reader, curve: Curve): KnownContribution[] =>
  reader.list({ min: 0, max: 64 }, 'contributions', (item) => {
    const signed = readSigned(item)
    return { signed, contribution: decodeContribution(curve, signed.body) }
  })

const readParts = (reader: Reader): ReadonlyMap<ParticipantIndex, Secret> =>
  new Map(
    reader.list({ min: 0, max: 64 }, 'parts', (item) => [
      participantIndex(item.u16('helper')),
      new Secret(item.take(32, 'part')),
    ]),
  )

function phaseOf(read: {
  readonly name: (typeof PHASES)[number]
  readonly reason: RepairEnd
  readonly own: SignedBody | undefined
  readonly parts: ReadonlyMap<ParticipantIndex, Secret>
  readonly sum: Secret | undefined
}): HelperPhase {
  const { name, reason, own, parts, sum } = read
  if (name === 'waiting' || name === 'seeding') return { name }
  if (name === 'done') return { name, reason, ...(own && { own }) }
  if (own === undefined) throw dkgError('bad-encoding', 'the snapshot lacks its M1')
  if (name === 'collecting') return { name, own, parts }
  if (sum === undefined) throw dkgError('bad-encoding', 'the snapshot lacks its sum')
  return { name, own, parts, sum }
}

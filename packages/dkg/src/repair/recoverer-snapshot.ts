import { concatBytes } from '@noble/hashes/utils.js'
import type { EnginePorts } from '../ceremony/engine-types.ts'
import { dkgError } from '../errors.ts'
import { attempt, decodeAll, list, type Reader, u16, u32, u8, varBytes } from '../primitives/codec.ts'
import { participantIndex } from '../primitives/point.ts'
import { Secret } from '../primitives/secret.ts'
import type { ParticipantIndex } from '../primitives/types.ts'
import { checkRequest } from './contribution.ts'
import { decodeContribution, MAX_REPAIR_MESSAGE_BYTES, repairId } from './messages.ts'
import { createAttempt, createRecovererState, type Exclusion, type RecovererState } from './recoverer-state.ts'
import { decodeSignedBody, type SignedBody } from './signed-body.ts'
import type { RepairEnd, RepairParams } from './types.ts'

/**
 * A recoverer as bytes. Nothing secret is in it: sums are asked for again, and a share is only in the key store.
 * u8 1 || sharingId(32) || u8 phase || u8 end || u32 attempt || list(u16 || u8 exclusion) || list(u16 || u16) || u8 hasRequest || [var REQ || list(var M1)]
 */
const VERSION = 1
/** `complete` is stored as `collecting`: its sums come again. */
const PHASES = ['seeding', 'collecting', 'stuck', 'done'] as const
const ENDS: readonly RepairEnd[] = ['repaired', 'released', 'denied', 'expired', 'rolled-back', 'failed']
const EXCLUSIONS: readonly Exclusion[] = ['faulty', 'replaced']

export function encodeRecovererSnapshot(state: RecovererState): Secret {
  const { params, phase, current, excluded, disputes } = state
  const name = phase.name === 'complete' ? 'collecting' : phase.name
  const nothing = new Uint8Array(0)
  return new Secret(
    concatBytes(
      u8(VERSION),
      params.sharing.sharingId,
      u8(PHASES.indexOf(name)),
      u8(phase.name === 'done' ? ENDS.indexOf(phase.reason) : 0),
      u32(state.attempt),
      list([...excluded], ([index, why]) => concatBytes(u16(index), u8(EXCLUSIONS.indexOf(why)))),
      list(disputes, ([a, b]) => concatBytes(u16(a), u16(b))),
      u8(current === undefined ? 0 : 1),
      current === undefined ? nothing : varBytes(current.signed.bytes),
      current === undefined ? nothing : list([...current.contributions.values()], (one) => varBytes(one.signed.bytes)),
    ),
  )
}

/** @throws KmsError `bad-encoding` when the bytes are not a snapshot of a repair of this sharing by this node */
export function decodeRecovererSnapshot(ports: EnginePorts, params: RepairParams, snapshot: Secret): RecovererState {
  return snapshot.use((bytes) => decodeAll(bytes, 'snapshot', (reader) => readState(reader, ports, params)))
}

function readState(reader: Reader, ports: EnginePorts, params: RepairParams): RecovererState {
  if (reader.u8('version') !== VERSION) throw dkgError('bad-encoding', 'unknown version of a repair snapshot')
  reader.take(32, 'sharingId')
  const name = PHASES[reader.u8('phase')]
  const reason = ENDS[reader.u8('end')]
  if (name === undefined || reason === undefined) throw dkgError('bad-encoding', 'unknown phase of a repair')
  const state = createRecovererState(params)
  state.attempt = reader.u32('attempt')
  for (const [index, why] of readExclusions(reader)) state.excluded.set(index, why)
  state.disputes = reader.list({ min: 0, max: 0xffff }, 'disputes', (item) => [
    participantIndex(item.u16('dispute')),
    participantIndex(item.u16('dispute')),
  ])
  if (reader.u8('hasRequest') === 1) state.current = readAttempt(reader, ports, params)
  state.phase = name === 'done' ? { name, reason } : { name }
  return state
}

const readExclusions = (reader: Reader): [ParticipantIndex, Exclusion][] =>
  reader.list({ min: 0, max: 64 }, 'excluded', (item) => {
    const index = participantIndex(item.u16('excluded'))
    const why = EXCLUSIONS[item.u8('exclusion')]
    if (why === undefined) throw dkgError('bad-encoding', 'unknown exclusion')
    return [index, why]
  })

function readAttempt(reader: Reader, ports: EnginePorts, params: RepairParams): RecovererState['current'] {
  const signed = readSigned(reader)
  const request = checkRequest(ports.verify, params.sharing, signed)
  if (request?.recoverer !== params.self) throw dkgError('bad-encoding', 'the snapshot belongs to another repair')
  const current = createAttempt(signed, request, repairId(signed.body))
  for (const one of reader.list({ min: 0, max: 64 }, 'contributions', readSigned)) {
    const contribution = attempt(() => decodeContribution(ports.curve, one.body))
    if (contribution !== undefined) current.contributions.set(contribution.from, { signed: one, contribution })
  }
  return current
}

const readSigned = (reader: Reader): SignedBody =>
  decodeSignedBody(reader.var(MAX_REPAIR_MESSAGE_BYTES, 'signed'), MAX_REPAIR_MESSAGE_BYTES)

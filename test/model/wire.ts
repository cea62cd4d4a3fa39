import type { CeremonyInput } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { MESSAGE_NAMES, type MessageName } from '../../packages/dkg/src/ceremony/signed-message.ts'

/** Kinds of what travels between nodes; `fetch` stands for the rest. */
export type WireName = MessageName | 'certificate' | 'fetch' | 'status'

/** The head of a signed message, read in place: u32 length, u8 type, u8 version, ceremony(32), u32 view, u16 from. */
export interface Head {
  readonly name: MessageName
  readonly view: number
  readonly from: number
}

/** Of bytes that an engine made, so they are well formed. */
export function headOf(signed: Uint8Array): Head {
  const view = new DataView(signed.buffer, signed.byteOffset)
  const name = MESSAGE_NAMES[view.getUint8(4) - 1]
  if (name === undefined) throw new RangeError('not a signed message')
  return { name, view: view.getUint32(38), from: view.getUint16(42) }
}

export function nameOf(input: CeremonyInput): WireName {
  switch (input.type) {
    case 'message':
      return headOf(input.signed).name
    case 'certificate':
      return 'certificate'
    case 'status':
    case 'status-request':
      return 'status'
    case 'fetch':
    case 'abandon':
    case 'peer-connected':
    case 'seeds':
    case 'stored':
    case 'supersede':
    case 'timer':
      return 'fetch'
  }
}

export function describe(input: CeremonyInput): string {
  if (input.type !== 'message') return input.type
  const { name, view, from } = headOf(input.signed)
  return `${name}(${view}) by ${from}`
}

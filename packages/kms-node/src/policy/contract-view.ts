import { keccak_256 } from '@noble/hashes/sha3.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { u64 } from '@tkms/dkg'

/** What a view may be asked about; each is one word of 32 bytes. */
export const VIEW_ARGUMENTS = ['handle', 'account', 'chainId', 'keyId', 'spkiHash'] as const
export type ViewArgument = (typeof VIEW_ARGUMENTS)[number]

/** A view of a contract that answers with a bool, and what goes into each of its parameters. */
export interface ContractView {
  /** The first 4 bytes of keccak256 of the signature. */
  readonly selector: Uint8Array
  readonly args: readonly ViewArgument[]
}

export interface ViewValues {
  /** 32 bytes. */
  readonly handle: Uint8Array
  /** 20 bytes. */
  readonly account: Uint8Array
  readonly chainId: number
  /** 32 bytes. */
  readonly keyId: Uint8Array
  /** 32 bytes. */
  readonly spkiHash: Uint8Array
}

/** The ABI types that hold each argument whole. */
const TYPES: Readonly<Record<ViewArgument, readonly string[]>> = {
  handle: ['bytes32', 'uint256'],
  account: ['address'],
  chainId: ['uint256', 'uint128', 'uint64'],
  keyId: ['bytes32', 'uint256'],
  spkiHash: ['bytes32', 'uint256'],
}
const SIGNATURE = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}\(([a-z0-9]+(?:,[a-z0-9]+)*)\)$/
const WORD_BYTES = 32

/** @returns what is wrong, in words, when the view cannot take these arguments */
export function parseContractView(signature: string, args: readonly ViewArgument[]): ContractView | string {
  const types = SIGNATURE.exec(signature)?.[1]?.split(',')
  if (types === undefined) return 'must be a signature such as isViewer(bytes32,address), without names and spaces'
  if (types.length !== args.length) return `takes ${types.length} arguments, and args names ${args.length}`
  const misfit = args.find((arg, at) => !TYPES[arg].includes(types[at] ?? ''))
  if (misfit !== undefined) return `must take ${misfit} as ${TYPES[misfit].join(' or ')}`
  return { selector: keccak_256(utf8ToBytes(signature)).slice(0, 4), args }
}

/** The call data: selector || one word per argument, big-endian. */
export const encodeViewCall = (view: ContractView, values: ViewValues): Uint8Array =>
  concatBytes(view.selector, ...view.args.map((arg) => word(values[arg])))

function word(value: Uint8Array | number): Uint8Array {
  const bytes = typeof value === 'number' ? u64(value) : value
  const out = new Uint8Array(WORD_BYTES)
  out.set(bytes, WORD_BYTES - bytes.length)
  return out
}

/** The one bool that a view returned, strictly encoded; undefined for anything else. */
export function decodeBool(result: Uint8Array): boolean | undefined {
  const last = result[WORD_BYTES - 1]
  const rest = result.subarray(0, WORD_BYTES - 1)
  if (result.length !== WORD_BYTES || last === undefined || last > 1 || rest.some((byte) => byte !== 0))
    return undefined
  return last === 1
}

import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import type { Collateral, CollateralQuery } from './collateral.ts'
import { parseChain } from './certificates.ts'
import { attestError } from './errors.ts'
import { readable } from './readable.ts'

const MAX_PART_BYTES = 1024 * 1024
const MAX_CHAIN_BYTES = 32 * 1024
export const COLLATERAL_TIMEOUT_MS = 15_000
const HEX_TEXT = /^[0-9a-fA-F\s]+$/

interface Part {
  readonly bytes: Uint8Array
  readonly headers: Headers
}

/**
 * Fetches the collateral of a platform from a caching service (Intel's "PCCS" and its own service speak the same: paths under
 * `/sgx/certification/v4` and `/tdx/certification/v4`). Redirects are not followed; every part is bounded, all of it timed.
 * @param url base, without a path of its own
 * @throws KmsError `collateral-unavailable`
 */
export async function fetchCollateral(
  url: string,
  query: CollateralQuery,
  timeoutMs: number = COLLATERAL_TIMEOUT_MS,
): Promise<Collateral> {
  const limit = AbortSignal.timeout(timeoutMs)
  const get = (tee: 'sgx' | 'tdx', path: string): Promise<Part> =>
    fetchPart(`${url.replace(/\/$/, '')}/${tee}/certification/v4/${path}`, limit)
  try {
    const [pckCrl, tcb, identity, rootCrl] = await Promise.all([
      get('sgx', `pckcrl?ca=${query.ca}&encoding=der`),
      get(query.tee, `tcb?fmspc=${query.fmspc.toUpperCase()}`),
      get(query.tee, 'qe/identity?update=standard'),
      get('sgx', 'rootcacrl'),
    ])
    const tcbInfo = signedMember(tcb, 'tcbInfo')
    const qeIdentity = signedMember(identity, 'enclaveIdentity')
    return {
      pck_crl_issuer_chain: chainOf(pckCrl, 'SGX-PCK-CRL-Issuer-Chain'),
      root_ca_crl: derOf(rootCrl),
      pck_crl: derOf(pckCrl),
      tcb_info_issuer_chain: chainOf(tcb, 'TCB-Info-Issuer-Chain', 'SGX-TCB-Info-Issuer-Chain'),
      tcb_info: tcbInfo.text,
      tcb_info_signature: tcbInfo.signature,
      qe_identity_issuer_chain: chainOf(identity, 'SGX-Enclave-Identity-Issuer-Chain'),
      qe_identity: qeIdentity.text,
      qe_identity_signature: qeIdentity.signature,
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'it failed'
    throw attestError('collateral-unavailable', `no collateral for ${query.tee} ${query.fmspc}: ${reason}`, { cause })
  }
}

async function fetchPart(url: string, signal: AbortSignal): Promise<Part> {
  const response = await fetch(url, { signal, redirect: 'error' })
  const { pathname } = new URL(url)
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`${pathname} is answered with ${response.status}`)
  }
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response.body as ReadableStream<Uint8Array>) {
    length += part.length
    if (length > MAX_PART_BYTES) throw new RangeError(`${pathname} is longer than ${MAX_PART_BYTES} bytes`)
    parts.push(part)
  }
  return { bytes: Buffer.concat(parts), headers: response.headers }
}

/** A chain in a header, percent-encoded PEM. */
function chainOf({ headers }: Part, ...names: readonly string[]): string {
  const text = names.map((name) => headers.get(name)).find((value) => value !== null) ?? ''
  const pem = text.length > MAX_CHAIN_BYTES ? undefined : readable(() => decodeURIComponent(text))
  if (pem === undefined || parseChain(pem) === undefined)
    throw new Error(`the header ${names[0]} holds no certificates`)
  return pem
}

/** DER, or the hex of it: services differ. @returns hex */
function derOf({ bytes }: Part): string {
  const text = new TextDecoder().decode(bytes)
  const hex = text.replaceAll(/\s/g, '').toLowerCase()
  if (!HEX_TEXT.test(text)) return bytesToHex(bytes)
  return bytesToHex(readable(() => hexToBytes(hex)) ?? bytes)
}

/** What stands under `name`, letter by letter as it was signed, and the signature beside it. */
function signedMember({ bytes }: Part, name: string): { readonly text: string; readonly signature: string } {
  const document = readable(() => JSON.parse(new TextDecoder().decode(bytes)) as unknown)
  if (typeof document !== 'object' || document === null) throw new Error(`the ${name} is no JSON`)
  const { [name]: value, signature } = document as Record<string, unknown>
  if (typeof value !== 'object' || typeof signature !== 'string') throw new Error(`there is no signed ${name}`)
  // The service sends it without spaces, and so it was signed.
  return { text: JSON.stringify(value), signature }
}

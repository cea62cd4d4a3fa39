import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { hexToBytes } from '@noble/hashes/utils.js'
import type { Collateral } from './collateral.ts'

export interface TestPccs {
  readonly url: string
  /** Paths with queries, as they came. */
  readonly requests: string[]
  close(): Promise<void>
}

type Answer = {
  readonly body: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly status?: number
}

/** A caching service that knows one platform. @param change what it says instead, by path */
export async function startTestPccs(
  collateral: () => Collateral,
  change: (path: string) => Answer | 'silence' | undefined = () => undefined,
): Promise<TestPccs> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const answer = change(path) ?? answerOf(path, collateral())
    if (answer === 'silence') return
    response.writeHead(answer.status ?? 200, { ...answer.headers })
    response.end(answer.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function answerOf(path: string, known: Collateral): Answer {
  const chain = (name: string, pem: string): Readonly<Record<string, string>> => ({ [name]: encodeURIComponent(pem) })
  if (path.includes('/pckcrl'))
    return { body: hexToBytes(known.pck_crl), headers: chain('SGX-PCK-CRL-Issuer-Chain', known.pck_crl_issuer_chain) }
  if (path.includes('/rootcacrl')) return { body: known.root_ca_crl }
  if (path.includes('/tcb'))
    return {
      body: `{"tcbInfo":${known.tcb_info},"signature":"${known.tcb_info_signature}"}`,
      headers: chain('TCB-Info-Issuer-Chain', known.tcb_info_issuer_chain),
    }
  if (path.includes('/qe/identity'))
    return {
      body: `{"enclaveIdentity":${known.qe_identity},"signature":"${known.qe_identity_signature}"}`,
      headers: chain('SGX-Enclave-Identity-Issuer-Chain', known.qe_identity_issuer_chain),
    }
  return { status: 404, body: '' }
}

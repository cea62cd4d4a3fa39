import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { formatAnswer, parseAuthorization } from '@tkms/dkg'
import type { TransportReply } from '../../transport/types.ts'
import type { Misconduct, TestCluster } from './test-cluster.ts'

export interface TestServer {
  readonly port: number
  close(): Promise<void>
}

/** An HTTP or HTTPS server on a free loopback port. */
export async function startTestServer(
  listener: RequestListener,
  tls?: { readonly key: string; readonly cert: string },
): Promise<TestServer> {
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** `POST /v1/delegate` of one node of the test cluster, as interfaces 1 and 2 describe it. */
export function delegateListener(cluster: TestCluster, index: number, misconduct?: Misconduct): RequestListener {
  return (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const authorization = parseAuthorization(JSON.parse(Buffer.concat(chunks).toString()))
      const { status, body } = httpReply(cluster.reply(index, authorization, misconduct))
      const known = request.method === 'POST' && request.url === '/v1/delegate'
      response.writeHead(known ? status : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }
}

function httpReply(reply: TransportReply): { readonly status: number; readonly body: object } {
  if (reply.kind === 'answer') return { status: 200, body: formatAnswer(reply.answer) }
  const { code, skewSeconds } = reply
  return { status: 403, body: { error: { code, message: 'refused', details: { skewSeconds } } } }
}

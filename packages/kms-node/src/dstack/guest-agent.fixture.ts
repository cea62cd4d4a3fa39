import { createServer, type Server } from 'node:http'
import { hkdfSync } from 'node:crypto'
import { once } from 'node:events'

/** What came over the socket. */
export interface AgentRequest {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly body: unknown
}

export interface AgentReply {
  /** Default: 200. */
  readonly status?: number
  readonly text: string
}

export interface TestAgent {
  readonly requests: AgentRequest[]
  close(): Promise<void>
}

/** Derives a key as dstack does: by the application's key and the path, whatever the purpose. @returns 64 hex digits */
export const derivedKey = (appKey: string, path: string): string =>
  Buffer.from(hkdfSync('sha256', appKey, '', path, 32)).toString('hex')

/** A guest agent on a Unix socket with keys of one application. @param reply answers in its stead */
export async function startTestAgent(
  socket: string,
  appKey: string,
  reply?: (question: { path?: unknown; report_data?: unknown }) => AgentReply | undefined,
): Promise<TestAgent> {
  const requests: AgentRequest[] = []
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as { path?: unknown }
      requests.push({ method: request.method, url: request.url, body })
      const own: AgentReply = {
        text: JSON.stringify({ key: derivedKey(appKey, String(body.path)), signature_chain: ['00', '01'] }),
      }
      const answer = reply === undefined ? own : reply(body)
      if (answer === undefined) return
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' })
      response.end(answer.text)
    })
  })
  server.listen(socket)
  await once(server, 'listening')
  return {
    requests,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

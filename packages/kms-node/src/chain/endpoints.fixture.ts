import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export const CHAIN_ID = 421_614
/** `true` as a contract returns it. */
export const TRUE_WORD = `0x${'1'.padStart(64, '0')}`
export const FALSE_WORD = `0x${'0'.repeat(64)}`

interface RpcCall {
  readonly id: number
  readonly method: string
  readonly params: readonly unknown[]
}

/** What one JSON-RPC endpoint does with an `eth_call`. */
export type Behaviour = (call: RpcCall, response: ServerResponse) => void

export const send = (response: ServerResponse, body: string): void => {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(body)
}
export const returns =
  (result: unknown): Behaviour =>
  ({ id }, response) =>
    send(response, JSON.stringify({ jsonrpc: '2.0', id, result }))
export const fails =
  (code: number, message: string): Behaviour =>
  ({ id }, response) =>
    send(response, JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }))
/** Takes the call and never answers. */
export const hangs: Behaviour = () => {}

async function readCall(request: IncomingMessage): Promise<RpcCall> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString()) as RpcCall
}

/** A JSON-RPC endpoint on loopback until the test ends; says that it serves `chainId` and leaves the rest to `behaviour`. */
export async function startEndpoint(
  behaviour: Behaviour,
  chainId: number = CHAIN_ID,
): Promise<{ readonly url: string; readonly calls: readonly RpcCall[] }> {
  const calls: RpcCall[] = []
  const server = createServer((request, response) => {
    void readCall(request).then((call) => {
      calls.push(call)
      if (call.method === 'eth_chainId') returns(`0x${chainId.toString(16)}`)(call, response)
      else behaviour(call, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

/** A URL nobody listens on. */
export async function deadEndpoint(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}

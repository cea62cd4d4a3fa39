import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { serveChain, SALT } from './served-chain.fixture.ts'

const get = async (url: string, init?: RequestInit): Promise<readonly unknown[]> => {
  const response = await fetch(url, init)
  return [response.status, response.headers.get('content-type'), await response.text()]
}

it('says who it is, that it lives, and what it has not', async () => {
  const { url } = await serveChain()
  const [status, type, body] = await get(`${url}/`)
  expect([status, type]).toEqual([200, 'application/json'])
  expect(body).toMatch(/^\{"service":"nox-kms","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"\}$/)
  expect(await get(`${url}/health`)).toEqual([200, 'application/json', '{"status":"ok"}'])
  expect(await get(`${url}/v0/public-key?chain_id=1`)).toEqual([
    404,
    'application/json',
    '{"error":"Route not found /v0/public-key"}',
  ])
  expect(await get(`${url}/constructor`)).toEqual([404, 'application/json', '{"error":"Route not found /constructor"}'])
  const wrong = await fetch(`${url}/v0/delegate`)
  expect([wrong.status, wrong.headers.get('allow'), await wrong.text()]).toEqual([405, 'POST', ''])
  expect((await fetch(`${url}/health`, { method: 'HEAD' })).status).toBe(200)
})

it('counts its own routes and nothing that somebody makes up', async () => {
  const { url, delegate } = await serveChain()
  await delegate()
  await delegate({ search: `chain_id=5&salt=${SALT}` })
  await get(`${url}/health`)
  await get(`${url}/v0/a`)
  await get(`${url}/v0/b`)
  await get(`${url}/elsewhere`)
  const [, type, text] = await get(`${url}/metrics`)
  expect(type).toBe('text/plain; charset=utf-8')
  const lines = String(text).split('\n')
  const totals = lines.filter((line) => line.startsWith('axum_http_requests_total{'))
  expect(totals.toSorted()).toEqual([
    'axum_http_requests_total{method="GET",status="200",endpoint="/health"} 1',
    'axum_http_requests_total{method="GET",status="404",endpoint="/v0/*"} 2',
    'axum_http_requests_total{method="POST",status="200",endpoint="/v0/delegate"} 1',
    'axum_http_requests_total{method="POST",status="400",endpoint="/v0/delegate"} 1',
  ])
  expect(lines).toContain('axum_http_requests_pending{method="POST",endpoint="/v0/delegate"} 0')
  expect(lines).toContain('axum_http_requests_pending{method="GET",endpoint="/metrics"} 1')
  const delegated = 'method="POST",status="200",endpoint="/v0/delegate"'
  expect(lines).toContain(`axum_http_requests_duration_seconds_bucket{${delegated},le="+Inf"} 1`)
  expect(lines).toContain(`axum_http_requests_duration_seconds_bucket{${delegated},le="10"} 1`)
  expect(lines).toContain(`axum_http_requests_duration_seconds_count{${delegated}} 1`)
  expect(lines.some((line) => line.startsWith(`axum_http_requests_duration_seconds_sum{${delegated}} 0.`))).toBe(true)
})

async function raw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  let received = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    received += chunk
  })
  socket.write(text)
  await once(socket, 'close')
  return received
}

const HEAD = `POST /v0/delegate?chain_id=1&salt=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`

it('answers a body without announced length that grows too long', async () => {
  const { url } = await serveChain()
  const chunk = `100000\r\n${' '.repeat(0x10_0000)}\r\n`
  const received = await raw(url, `${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}1\r\n `)
  expect(received).toMatch(/^HTTP\/1\.1 413 /)
  expect(received).toContain('length limit exceeded')
})

it('ends a body that never comes', async () => {
  const { url } = await serveChain()
  expect(await raw(url, `${HEAD}Content-Length: 10\r\n\r\n{`)).toMatch(/^HTTP\/1\.1 408 /)
})

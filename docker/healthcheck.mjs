// Exit 0 when the node in this container answers GET /health. The image has no curl.
import { request } from 'node:https'

const TIMEOUT_MS = 3_000

const port = process.env.TKMS_HTTP_PORT ?? '7443'
// The certificate is self-signed and this is the container's own loopback: nothing is trusted because of the answer.
const call = request(`https://127.0.0.1:${port}/health`, { rejectUnauthorized: false, timeout: TIMEOUT_MS })
call.on('response', (response) => process.exit(response.statusCode === 200 ? 0 : 1))
call.on('timeout', () => process.exit(1))
call.on('error', () => process.exit(1))
call.end()

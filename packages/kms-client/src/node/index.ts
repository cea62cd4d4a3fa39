export { createNodeKmsClient, nodeCurve } from './client.ts'
export { DELEGATE_PROTOCOL, libp2p } from './libp2p.ts'
export { type PinnedExchange, pinnedExchange } from './pinned-exchange.ts'
export { pinnedHttp } from './pinned-http.ts'

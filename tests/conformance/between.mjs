// Stands between the daemon and the suite's origin for a mode that sends few fields upstream and few
// back. What client and origin of the suite tell each other in fields of their own (which request of
// a test it is) then goes beside the daemon; and on the fields of an answer that the mode drops, or
// writes anew, those of the origin's answer that its content is from are put, so that the suite judges
// what is stored and reused and not, once more in each test, which fields there are.
import http from 'node:http'

const hopByHop = ['connection', 'keep-alive', 'transfer-encoding']
// What the mode passes on, or works out for each answer: there the suite is to see the daemon's.
const ours = [...hopByHop, 'age', 'cache-status', 'via', 'content-length', 'content-encoding', 'date',
  'content-language', 'last-modified', 'set-cookie']

const pairsOf = raw => raw.flatMap((name, i) => i % 2 === 0 ? [[name, raw[i + 1]]] : [])
const testOf = url => new URL(url, 'http://origin').pathname.split('/')[2]

export class Between {
  #asking = new Map() // by test: the fields of the suite's own of what is asked for now
  #answers = [] // the origin's, as lists of fields

  async start (originPort) {
    const server = http.createServer((request, response) => this.#pass(originPort, request, response))
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    server.unref()
    return server.address().port
  }

  #pass (port, request, response) {
    const fields = pairsOf(request.rawHeaders).filter(([name]) => !hopByHop.includes(name.toLowerCase()))
    const own = this.#asking.get(testOf(request.url)) ?? []
    const known = own.filter(([name]) => request.headers[name.toLowerCase()] === undefined)
    const order = { host: '127.0.0.1', port, path: request.url, method: request.method, headers: [...fields, ...known].flat() }
    let whole = () => false
    const upstream = http.request(order, answer => {
      whole = () => answer.complete
      const number = this.#answers.push(pairsOf(answer.rawHeaders)) - 1
      // The one field that is sure to come back says which answer it is.
      const sent = pairsOf(answer.rawHeaders)
        .filter(([name]) => !hopByHop.includes(name.toLowerCase()))
        .map(([name, value]) => [name, name.toLowerCase() === 'content-type' ? `${value}; from=${number}` : value])
      response.writeHead(answer.statusCode, answer.statusMessage, sent.flat())
      answer.on('error', () => response.destroy())
      answer.on('close', () => { if (!answer.complete) response.destroy() })
      answer.pipe(response)
    })
    // What follows a content is no matter of that content.
    upstream.on('error', () => { if (!whole()) response.destroy() })
    request.pipe(upstream)
  }

  async around (url, init, ask) {
    const own = (init.headers ?? []).filter(([name]) => ['Req-Num', 'Test-ID', 'Test-Name'].includes(name))
    if (own.length > 0) this.#asking.set(testOf(url), own)
    const response = await ask(url, init)
    const from = /; from=(\d+)/.exec(response.headers.get('content-type') ?? '')
    if (!from) return response
    const all = this.#answers[Number(from[1])]
    const ofConnection = all.filter(([name]) => name.toLowerCase() === 'connection')
      .flatMap(([, value]) => value.toLowerCase().split(',').map(option => option.trim()))
    const fields = all.filter(([name]) => !ours.includes(name.toLowerCase()) && !ofConnection.includes(name.toLowerCase()))
    fields.forEach(([name]) => response.headers.delete(name))
    fields.forEach(([name, value]) => response.headers.append(name, value))
    return response
  }
}

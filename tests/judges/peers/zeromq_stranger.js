// A client of another project (zeromq.js) at the door of an agent. Prints one JSON line: what it heard.
//
// node zeromq_stranger.js MODULES ENDPOINT SERVER_KEY SCHEMA [PUBLIC SECRET]
// MODULES: folder with node_modules. Without keys of its own it makes fresh ones, which nobody trusts.

const [modules, endpoint, serverKey, schema, publicKey, secretKey] = process.argv.slice(2);
const zmq = require(`${modules}/node_modules/zeromq`);

// msgpack of the envelope: source, incarnation, schema, to_incarnation, kind (0: hello), seq, ack, payload
function envelope(source) {
  const name = Buffer.from(source, "ascii");
  return Buffer.concat([
    Buffer.from([0x98, 0xa0 | name.length]),
    name,
    Buffer.from([1, Number(schema), 1, 0, 0, 0, 0xc4, 0]),
  ]);
}

async function visit(settings, frames) {
  const seen = { heard: 0, events: [], sent: 0 };
  const socket = new zmq.Dealer({ linger: 0, sendTimeout: 300, receiveTimeout: 1500, ...settings });
  (async () => {
    for await (const event of socket.events) seen.events.push(event.type);
  })().catch(() => {});
  socket.connect(endpoint);
  for (const frame of frames) {
    try {
      await socket.send(frame);
      seen.sent += 1;
    } catch {
      break; // nobody takes it
    }
  }
  try {
    for (;;) {
      await socket.receive();
      seen.heard += 1;
    }
  } catch {
    // nothing came in time
  }
  socket.close();
  seen.events = [...new Set(seen.events)].sort();
  return seen;
}

(async () => {
  const frames = [envelope("a"), envelope("b"), Buffer.from("not msgpack"), Buffer.alloc(0)];
  if (publicKey) {
    const keys = { curveServerKey: serverKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
    console.log(JSON.stringify({ trusted: await visit(keys, [envelope("c"), ...frames]) }));
    return;
  }
  const fresh = zmq.curveKeyPair();
  const strange = { curveServerKey: serverKey, curvePublicKey: fresh.publicKey, curveSecretKey: fresh.secretKey };
  const found = { plain: await visit({}, frames), stranger: await visit(strange, frames) };
  console.log(JSON.stringify(found));
})();

// Asks a server with nothing but the protos: no generated code, no library of Gerbang's.
//
//   node client.js ADDRESS SUBJECT_ID WATCHLIST PHOTO ANOTHER_PHOTO PHOTO_WITHOUT_A_FACE
//
// Prints one JSON object with what the server answered.
"use strict";

const { readFileSync } = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, subjectId, watchlist, photo, anotherPhoto, noFace] = process.argv.slice(2);

const definition = loader.loadSync(
  ["gerbang/v1/matching_service.proto", "gerbang/v1/watchlist_service.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"],
  { includeDirs: [path.join(__dirname, "..", "..", "protos")], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true },
);
const { v1 } = grpc.loadPackageDefinition(definition).gerbang;
const credentials = grpc.credentials.createInsecure();
const matching = new v1.MatchingService(address, credentials);
const office = new v1.WatchlistService(address, credentials);

// One call, as a promise of { answer } or { error }.
function call(client, method, request) {
  return new Promise((resolve) => {
    const deadline = Date.now() + 30_000;
    client[method](request, { deadline }, (error, answer) => resolve(error ? { error: explain(error) } : { answer }));
  });
}

// The rich status of a failed call: google.rpc.Status in its trailers, which holds a google.rpc.ErrorInfo.
function explain(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  const status = definition["google.rpc.Status"].deserialize(packed);
  const explained = { code: error.code, status_code: status.code, message: status.message };
  for (const detail of status.details) {
    const name = detail.type_url.split("/").pop();
    explained[name.split(".").pop()] = definition[name].deserialize(detail.value);
  }
  return explained;
}

// Sends all requests over one stream and collects the answers.
function stream(requests) {
  return new Promise((resolve, reject) => {
    const answers = [];
    const open = matching.IdentifyStream({ deadline: Date.now() + 30_000 });
    open.on("data", (answer) => answers.push(answer));
    open.on("error", reject);
    open.on("end", () => resolve(answers));
    requests.forEach((request) => open.write(request));
    open.end();
  });
}

async function main() {
  const image = readFileSync(photo);
  const extracted = await call(matching, "Extract", { image: readFileSync(anotherPhoto) });
  const probe = { template: extracted.answer.template };
  const printed = {
    info: await call(office, "GetServerInfo", {}),
    identify_image: await call(matching, "Identify", { probe: { image }, watchlists: [watchlist] }),
    identify_template: await call(matching, "Identify", { probe, watchlists: [watchlist] }),
    verify_subject: await call(matching, "Verify", { probe: { image }, subject_id: subjectId }),
    verify_sample: await call(matching, "Verify", { probe: { image }, sample: probe, threshold: 1.0 }),
    no_face: await call(matching, "Identify", { probe: { image: readFileSync(noFace) } }),
    bad_field: await call(matching, "Identify", { probe: { image }, max_candidates: 101 }),
    stream: await stream([1, 2, 3].map((sequence) => ({ probe: { image }, watchlists: [watchlist], sequence }))),
  };
  console.log(JSON.stringify(printed));
  matching.close();
  office.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

#!/bin/sh
# Publishes the event of a file over HTTP: publish.sh event.json
#
# CABINET says where (http://127.0.0.1:8038), TOKEN who: an access token of the log-in server with the
# role `source`; in the sandbox none is needed. 202 says that Kafka has it, and where.
set -eu
curl --fail-with-body --silent --show-error \
  --header "content-type: application/cloudevents+json" \
  ${TOKEN:+--header "authorization: Bearer $TOKEN"} \
  --data-binary "@$1" "${CABINET:-http://127.0.0.1:8038}/api/v1/events"

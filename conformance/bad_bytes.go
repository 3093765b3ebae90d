package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// bytesCase is a row in which raw bytes are sent that no client library would
// send: the door hangs up, at once or when its patience is over.
func bytesCase(id string, door Door, title string, make func(t *Target) []byte) Case {
	return Case{ID: id, Door: door, Title: title, Want: silently(Closed), Do: func(ctx context.Context, t *Target, _ Prior) (Observation, error) {
		address := strings.TrimPrefix(t.HTTP, "http://")
		if door == DoorNATS {
			address = strings.TrimPrefix(t.NATS, "nats://")
		}
		return hangsUp(ctx, address, make(t))
	}}
}

// hangsUp sends bytes, and reads until the other end closes. A word of complaint
// may come before that, a good answer may not.
func hangsUp(ctx context.Context, address string, raw []byte) (Observation, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return Observation{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(isoWithin)); err != nil {
		return Observation{}, err
	}
	_, _ = conn.Write(raw) // it may hang up meanwhile
	said, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return silently(Unanswered), errors.New("the connection is still open")
	case bytes.HasPrefix(said, []byte("HTTP/")) && !bytes.HasPrefix(said, []byte("HTTP/1.1 4")):
		return Observation{}, fmt.Errorf("it answers %q", clip(said))
	}
	return silently(Closed), nil
}

// request is a payment of north as raw bytes, with headers of the caller's.
func (t *Target) request(header, body string) []byte {
	return fmt.Appendf(nil, "POST /v1/payments HTTP/1.1\r\nHost: till\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s\r\nContent-Type: application/json\r\n%s\r\n%s",
		t.tokens[north], t.key(), header, body)
}

// badHTTPBytes are bytes that the HTTP door cannot take for one request.
func badHTTPBytes() []Case {
	good := func(t *Target) string { return till(t.wechatCode(approve)).String() }
	return []Case{
		bytesCase("BAD-441", DoorHTTP, "A request of two lengths, of which each reader could believe another", func(t *Target) []byte {
			body := good(t)
			return t.request(fmt.Sprintf("Content-Length: %d\r\nContent-Length: 5\r\n", len(body)), body)
		}),
		bytesCase("BAD-442", DoorHTTP, "A request whose length is less than nothing", func(t *Target) []byte {
			return t.request("Content-Length: -1\r\n", good(t))
		}),
		bytesCase("BAD-443", DoorHTTP, "A request with sixty-four kilobytes of headers", func(t *Target) []byte {
			return t.request("X-Junk: "+strings.Repeat("x", 64<<10)+"\r\nContent-Length: 0\r\n", "")
		}),
		bytesCase("BAD-444", DoorHTTP, "Half the headers of a request, and then silence", func(t *Target) []byte {
			raw := t.request("", "")
			return raw[:len(raw)/2]
		}),
		bytesCase("BAD-445", DoorHTTP, "A header name with a space in it", func(t *Target) []byte {
			body := good(t)
			return t.request(fmt.Sprintf("Content-Length : %d\r\n", len(body)), body)
		}),
		bytesCase("BAD-446", DoorHTTP, "Sixty-four kilobytes of noise at the HTTP door", func(t *Target) []byte { return noise(t, Prior{}) }),
		bytesCase("BAD-447", DoorHTTP, "An ISO 8583 message sent to the HTTP door", func(t *Target) []byte {
			return append(frame(t.purchase(t.wechatCode(approve)).pack("0200")), '\r', '\n', '\r', '\n')
		}),
	}
}

// badNATSBytes are bytes of whoever has not proved who it is.
func badNATSBytes() []Case {
	body := till("130100000000000078").String()
	return []Case{
		bytesCase("BAD-771", DoorNATS, "A payment published before saying who one is", func(*Target) []byte {
			return fmt.Appendf(nil, "PUB tm.v1.%s.pay %d\r\n%s\r\n", north, len(body), body)
		}),
		bytesCase("BAD-772", DoorNATS, "Sixty-four kilobytes of noise at the NATS door", func(t *Target) []byte { return noise(t, Prior{}) }),
		bytesCase("BAD-773", DoorNATS, "A connection that never says who it is", func(*Target) []byte { return nil }),
		bytesCase("BAD-774", DoorNATS, "Somebody who calls itself the switch", func(*Target) []byte {
			return []byte("CONNECT {\"user\":\"switch\",\"pass\":\"switch\",\"verbose\":false}\r\nPING\r\n")
		}),
	}
}

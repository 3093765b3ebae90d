package conformance

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// natsCase is a row in which a participant, connected with its own key, asks the
// switch for a payment that is spoilt.
func natsCase(id, title string, r tongma.Reason, ask func(t *Target, p *peer) (key, body string)) Case {
	return Case{ID: id, Door: DoorNATS, Title: title, Want: refused(r).over(DoorNATS), Do: withPeer(harbour, func(ctx context.Context, t *Target, p *peer) (Observation, error) {
		key, body := ask(t, p)
		return p.ask(ctx, "pay", key, body)
	})}
}

func withPeer(who string, do func(context.Context, *Target, *peer) (Observation, error)) func(context.Context, *Target, Prior) (Observation, error) {
	return func(ctx context.Context, t *Target, _ Prior) (Observation, error) {
		p, err := t.connect(who)
		if err != nil {
			return Observation{}, err
		}
		defer p.Close()
		return do(ctx, t, p)
	}
}

// forbidden is a row in which harbour does with NATS what it may not.
func forbidden(id, title string, do func(t *Target, p *peer) error) Case {
	return Case{ID: id, Door: DoorNATS, Title: title, Want: silently(Denied), Do: withPeer(harbour, func(_ context.Context, t *Target, p *peer) (Observation, error) {
		if err := do(t, p); err != nil {
			return Observation{}, err
		}
		return p.verdict()
	})}
}

// publishing is a row in which harbour publishes where it may not.
func publishing(id, title, subject, body string) Case {
	return forbidden(id, title, func(_ *Target, p *peer) error {
		return p.PublishRequest(subject, p.NewRespInbox(), []byte(body))
	})
}

// subscribing is a row in which harbour listens where it may not.
func subscribing(id, title, subject string) Case {
	return forbidden(id, title, func(_ *Target, p *peer) error {
		_, err := p.SubscribeSync(subject)
		return err
	})
}

// badBodies are requests in the right place that are wrong in themselves.
func badBodies() []Case {
	good := func(t *Target) ask { return till(t.wechatCode(approve)) }
	return []Case{
		natsCase("BAD-701", "A payment over NATS without an idempotency key", tongma.KeyMissing, func(t *Target, _ *peer) (string, string) { return "", good(t).String() }),
		natsCase("BAD-702", "A payment over NATS with one key in the header and another in the body", tongma.FieldInvalid, func(t *Target, _ *peer) (string, string) {
			return t.key(), good(t).with(ask{"key": t.key()}).String()
		}),
		natsCase("BAD-703", "A message over NATS that is not JSON", tongma.MessageMalformed, func(t *Target, _ *peer) (string, string) { return t.key(), "pay me" }),
		natsCase("BAD-704", "An empty message over NATS", tongma.MessageMalformed, func(t *Target, _ *peer) (string, string) { return t.key(), "" }),
		natsCase("BAD-705", "A member over NATS that the switch does not know", tongma.FieldUnknown, func(t *Target, _ *peer) (string, string) {
			return t.key(), good(t).with(ask{"from": north}).String()
		}),
		natsCase("BAD-706", "A message over NATS of thirty kilobytes", tongma.MessageTooLong, func(t *Target, _ *peer) (string, string) {
			return t.key(), good(t).with(ask{"order": strings.Repeat("x", 30<<10)}).String()
		}),
		natsCase("BAD-707", "A payment of nothing over NATS", tongma.AmountInvalid, func(t *Target, _ *peer) (string, string) {
			return t.key(), good(t).with(ask{"amount": money(0, "CNY")}).String()
		}),
		natsCase("BAD-708", "A question over NATS that nobody serves", tongma.OperationUnknown, nil).asked("complete"),
		{ID: "BAD-709", Door: DoorNATS, Title: "A message over NATS of one megabyte", Want: silently(Closed), Do: oversized},
	}
}

// oversized speaks to the server by hand, since the library would not send it.
func oversized(ctx context.Context, t *Target, _ Prior) (Observation, error) {
	k, err := t.readKey(harbour)
	if err != nil {
		return Observation{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(t.NATS, "nats://"))
	if err != nil {
		return Observation{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(isoWithin)); err != nil {
		return Observation{}, err
	}
	in := bufio.NewReader(conn)
	greeting, err := in.ReadString('\n')
	var info struct{ Nonce string }
	if err != nil || json.Unmarshal([]byte(strings.TrimPrefix(greeting, "INFO ")), &info) != nil {
		return Observation{}, errors.New("the server does not introduce itself")
	}
	proof, _ := k.sign([]byte(info.Nonce)) // never fails
	fmt.Fprintf(conn, "CONNECT %s\r\nPING\r\n", ask{"nkey": k.public, "sig": base64.RawURLEncoding.EncodeToString(proof), "verbose": false, "pedantic": false, "protocol": 1, "lang": "go", "version": "1"})
	for line := ""; line != "PONG\r\n"; {
		if line, err = in.ReadString('\n'); err != nil || strings.HasPrefix(line, "-ERR") {
			return Observation{}, fmt.Errorf("the server does not let harbour in: %q: %w", line, err)
		}
	}
	head := fmt.Sprintf("PUB tm.v1.%s.pay _INBOX_%s.1 %d\r\n", harbour, harbour, 1<<20)
	_, _ = conn.Write(append([]byte(head), make([]byte, 1<<20)...)) // the server may hang up meanwhile
	for {
		switch line, err := in.ReadString('\n'); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return silently(Unanswered), nil
		case err != nil:
			return silently(Closed), nil
		case strings.HasPrefix(line, "-ERR") && !strings.Contains(strings.ToLower(line), "maximum payload"):
			return Observation{}, fmt.Errorf("the server complains: %q", line)
		}
	}
}

// asked is the same row for an operation that the switch does not offer. Nobody
// listens there, which the server says at once.
func (c Case) asked(operation string) Case {
	c.Want = silently(Unanswered)
	c.Do = withPeer(harbour, func(ctx context.Context, t *Target, p *peer) (Observation, error) {
		_, err := p.ask(ctx, operation, t.key(), till(t.wechatCode(approve)).String())
		if errors.Is(err, nats.ErrNoResponders) {
			return silently(Unanswered), nil
		}
		return Observation{}, fmt.Errorf("want nobody to listen there: %w", err)
	})
	return c
}

// badSubjects are what a participant's permissions forbid.
func badSubjects() []Case {
	body := till("130100000000000077").with(ask{"key": "forged"}).String()
	purge, create := "{}", `{"name":"EVIL","subjects":["tm.v1.>"]}`
	return []Case{
		publishing("BAD-721", "A payment published in another participant's name", "tm.v1."+north+".pay", body),
		publishing("BAD-722", "A reversal published in another participant's name", "tm.v1."+north+".reverse", `{"key":"forged","of_key":"x"}`),
		publishing("BAD-723", "A question to a wallet, published past the switch", "tm.v1.adapter.wechat.authorise", body),
		publishing("BAD-724", "An event forged for another participant", "tm.v1.event."+north+".payment.ended", "{}"),
		publishing("BAD-725", "An event forged for oneself", "tm.v1.event."+harbour+".payment.ended", "{}"),
		publishing("BAD-726", "An entry published into the journal", "tm.journal.0", "entry"),
		publishing("BAD-727", "The journal's stream deleted", "$JS.API.STREAM.DELETE.JOURNAL_0", ""),
		publishing("BAD-728", "Another participant's events purged", "$JS.API.STREAM.PURGE.EVT_"+north, purge),
		publishing("BAD-729", "A stream made that would swallow all payments", "$JS.API.STREAM.CREATE.EVIL", create),
		publishing("BAD-730", "The list of all streams asked for", "$JS.API.STREAM.LIST", ""),
		publishing("BAD-731", "The next of another participant's events asked for", "$JS.API.CONSUMER.MSG.NEXT.EVT_"+north+".feed", ""),
		publishing("BAD-732", "The server told to shut down", "$SYS.REQ.SERVER.PING", ""),
		subscribing("BAD-741", "Another participant's scheme served", "tm.v1.adapter.wechat.authorise"),
		subscribing("BAD-742", "Another participant's events listened to", "tm.v1.event."+north+".>"),
		subscribing("BAD-743", "The answers to another participant listened to", "_INBOX_"+north+".>"),
		subscribing("BAD-744", "The payments of all participants listened to", "tm.v1.*.pay"),
		subscribing("BAD-745", "Everything listened to", ">"),
		forbidden("BAD-746", "Another participant's scheme served in the queue of its adapters", func(_ *Target, p *peer) error {
			_, err := p.QueueSubscribeSync("tm.v1.adapter.wechat.authorise", "q")
			return err
		}),
	}
}

// badReplies are requests that want their answer put where the asker itself may
// not publish. The switch may publish anywhere, so it must look.
func badReplies() []Case {
	inquiry := `{"of_key":"no such key"}`
	return []Case{
		{ID: "BAD-751", Door: DoorNATS, Title: "A question whose answer shall land among another participant's events", Want: silently(Unanswered),
			Do: misdirected("tm.v1.event."+north+".payment.ended", inquiry)},
		{ID: "BAD-752", Door: DoorNATS, Title: "A question whose answer shall land among the asker's own events", Want: silently(Unanswered),
			Do: misdirected("tm.v1.event."+harbour+".payment.ended", inquiry)},
		{ID: "BAD-753", Door: DoorNATS, Title: "A question whose answer shall purge another participant's events", Want: silently(Unanswered),
			Do: misdirected("$JS.API.STREAM.PURGE.EVT_"+north, inquiry), Prepare: eventBefore},
		{ID: "BAD-754", Door: DoorNATS, Title: "A question whose answer shall land in another participant's inbox", Want: silently(Unanswered), Do: foreignInbox},
	}
}

// eventBefore prepares an event of north: the end of a payment that was pending.
func eventBefore(ctx context.Context, t *Target) (Prior, error) {
	p, err := pendingBefore(ctx, t)
	if err != nil {
		return p, err
	}
	if err := t.undo(ctx, p.Payment); err != nil {
		return p, err
	}
	p.Pending = false
	for {
		n, _, err := t.events(ctx, north)
		if n > 0 || err != nil {
			return p, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// misdirected asks as harbour, wants the answer at a subject of JetStream, and
// looks whether the events of north and harbour are as before.
func misdirected(reply, body string) func(context.Context, *Target, Prior) (Observation, error) {
	return withPeer(harbour, func(ctx context.Context, t *Target, p *peer) (Observation, error) {
		count := func() (string, error) {
			n, last, err := t.events(ctx, north)
			if err != nil {
				return "", err
			}
			m, end, err := t.events(ctx, harbour)
			return fmt.Sprintf("%s has %d up to %d, %s has %d up to %d", north, n, last, harbour, m, end), err
		}
		first, err := count()
		if err != nil {
			return Observation{}, err
		}
		if err := p.PublishRequest("tm.v1."+harbour+".inquire", reply, []byte(body)); err != nil {
			return Observation{}, err
		}
		o, err := p.verdict()
		if err != nil {
			return o, err
		}
		second, err := count()
		if err == nil && first != second {
			err = fmt.Errorf("of events %s; before, %s: the switch put its answer where the asker may not", second, first)
		}
		return o, err
	})
}

// foreignInbox asks as harbour, and listens as north.
func foreignInbox(ctx context.Context, t *Target, _ Prior) (Observation, error) {
	victim, err := t.connect(north)
	if err != nil {
		return Observation{}, err
	}
	defer victim.Close()
	inbox := victim.NewRespInbox()
	sub, err := victim.SubscribeSync(inbox)
	if err != nil {
		return Observation{}, err
	}
	if err := victim.Flush(); err != nil {
		return Observation{}, err
	}
	p, err := t.connect(harbour)
	if err != nil {
		return Observation{}, err
	}
	defer p.Close()
	if err := p.PublishRequest("tm.v1."+harbour+".inquire", inbox, []byte(`{"of_key":"no such key"}`)); err != nil {
		return Observation{}, err
	}
	o, err := p.verdict()
	if err != nil {
		return o, err
	}
	if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
		return o, errors.New("the answer to one participant came to another")
	}
	return o, nil
}

// events counts the events of a participant, as itself.
func (t *Target) events(ctx context.Context, who string) (count, last uint64, err error) {
	p, err := t.connect(who)
	if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	m, err := p.RequestWithContext(ctx, "$JS.API.STREAM.INFO.EVT_"+who, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("events of %s: %w", who, err)
	}
	var info struct {
		State struct {
			Messages uint64 `json:"messages"`
			LastSeq  uint64 `json:"last_seq"`
		} `json:"state"`
		Error *struct{ Description string } `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &info); err != nil {
		return 0, 0, err
	}
	if info.Error != nil {
		return 0, 0, fmt.Errorf("events of %s: %s", who, info.Error.Description)
	}
	return info.State.Messages, info.State.LastSeq, nil
}

// badKeys are connections that do not prove who they are.
func badKeys() []Case {
	row := func(id, title string, proof func(t *Target) ([]nats.Option, error)) Case {
		return Case{ID: id, Door: DoorNATS, Title: title, Want: silently(Denied), Do: func(_ context.Context, t *Target, _ Prior) (Observation, error) {
			options, err := proof(t)
			if err != nil {
				return Observation{}, err
			}
			p, err := t.connectWith(harbour, options...)
			if err == nil {
				p.Close()
				return Observation{}, errors.New("it was let in")
			}
			if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrNkeysNotSupported) || strings.Contains(strings.ToLower(err.Error()), "authorization violation") {
				return silently(Denied), nil
			}
			return Observation{}, err
		}}
	}
	stranger := keyOf(make([]byte, ed25519.SeedSize))
	return []Case{
		row("BAD-761", "A connection without any proof of who it is", func(*Target) ([]nats.Option, error) { return nil, nil }),
		row("BAD-762", "A connection with a key that nobody has", func(*Target) ([]nats.Option, error) {
			return []nats.Option{nats.Nkey(stranger.public, stranger.sign)}, nil
		}),
		row("BAD-763", "A participant's public key with another's signature", func(t *Target) ([]nats.Option, error) {
			k, err := t.readKey(harbour)
			return []nats.Option{nats.Nkey(k.public, stranger.sign)}, err
		}),
		row("BAD-764", "A connection with the HTTP token as a password", func(t *Target) ([]nats.Option, error) {
			return []nats.Option{nats.UserInfo(harbour, t.tokens[harbour])}, nil
		}),
	}
}

// notReached makes sure that nothing forged was taken for north's.
func notReached(c Case) Case {
	do := c.Do
	c.Do = func(ctx context.Context, t *Target, before Prior) (Observation, error) {
		o, err := do(ctx, t, before)
		if err != nil {
			return o, err
		}
		a, err := t.http(ctx, call{who: north, method: http.MethodGet, path: "/v1/payments?key=forged"})
		if err == nil && strings.Contains(string(a.body), "pay_") {
			err = errors.New("the switch knows a payment under the forged key")
		}
		return o, err
	}
	return c
}

// BadInputs is the suite of bad input. It needs a switch with the sandbox's
// directory and wallets, and without traffic of its own.
//
// A wrong MAC is not in it: the links of the sandbox have no MAC key, and none
// can be given to them. That case is proved in adapters/iso8583
// (TestWrongMACStopsEverythingBeforeBusiness).
func BadInputs() Suite {
	s := Suite{Name: "bad input"}
	for _, chapter := range []struct {
		topic string
		cases []Case
	}{
		{"Codes that cannot be paid", badCodes()},
		{"Payments that a scheme, a cap or the rules refuse", badPayments()},
		{"Amounts", badAmounts()},
		{"Keys used again for something else", badRepeats()},
		{"Requests that break the rules of HTTP", badRequests()},
		{"Bytes that are no request of HTTP", badHTTPBytes()},
		{"Payments of others, reversals and refunds", badReferences()},
		{"ISO 8583: signing on", badLinks()},
		{"ISO 8583: bytes that end the link", badFrames()},
		{"ISO 8583: messages that are refused by name", badMessages()},
		{"NATS: messages", badBodies()},
		{"NATS: what permissions forbid", badSubjects()},
		{"NATS: answers that shall go astray", badReplies()},
		{"NATS: who it is", badKeys()},
		{"NATS: bytes of nobody", badNATSBytes()},
		{"Windows, caps, participants and files", badOffice()},
		{"Payers who pay in another currency", badExchanges()},
	} {
		for _, c := range chapter.cases {
			if c.Topic = chapter.topic; c.Want.Manner == Denied {
				c = notReached(c)
			}
			s.Cases = append(s.Cases, c)
		}
	}
	return s
}

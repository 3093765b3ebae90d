package conformance

import (
	"context"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// nkey is a user's key pair, as NATS writes it: base 32 of a prefix, 32 bytes and
// a CRC-16 (XMODEM), the seed behind a prefix of two bytes.
type nkey struct {
	public  string // "U" and 55 characters
	private ed25519.PrivateKey
}

var plain32 = base32.StdEncoding.WithPadding(base32.NoPadding)

const userPrefix = 20 << 3 // "U" as the first of five bits

// readKey reads the seed of a participant.
func (t *Target) readKey(who string) (nkey, error) {
	text, err := os.ReadFile(filepath.Join(t.Creds, who+".nk"))
	if err != nil {
		return nkey{}, err
	}
	raw, err := plain32.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 2+ed25519.SeedSize+2 {
		return nkey{}, fmt.Errorf("conformance: %s.nk is not the seed of a user", who)
	}
	return keyOf(raw[2 : 2+ed25519.SeedSize]), nil
}

func keyOf(seed []byte) nkey {
	private := ed25519.NewKeyFromSeed(seed)
	raw := append([]byte{userPrefix}, private.Public().(ed25519.PublicKey)...)
	return nkey{plain32.EncodeToString(binary.LittleEndian.AppendUint16(raw, xmodem(raw))), private}
}

// xmodem is CRC-16 with polynomial 1021 hex and start 0.
func xmodem(b []byte) (crc uint16) {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

func (k nkey) sign(nonce []byte) ([]byte, error) { return ed25519.Sign(k.private, nonce), nil }

// peer is one participant's connection, and what the server complained of.
type peer struct {
	*nats.Conn
	t          *Target
	who        string
	complaints chan error
}

// natsWithin is how long an answer or a complaint may take.
const natsWithin = 3 * time.Second

// connect connects as a participant with its own key.
func (t *Target) connect(who string) (*peer, error) {
	k, err := t.readKey(who)
	if err != nil {
		return nil, err
	}
	return t.connectWith(who, nats.Nkey(k.public, k.sign))
}

func (t *Target) connectWith(who string, proof ...nats.Option) (*peer, error) {
	p := &peer{t: t, who: who, complaints: make(chan error, 16)}
	note := func(err error) {
		select {
		case p.complaints <- err:
		default:
		}
	}
	options := append([]nats.Option{nats.Name("conformance"), nats.NoReconnect(), nats.Timeout(natsWithin), nats.CustomInboxPrefix("_INBOX_" + who),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { note(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				note(err)
			}
		})}, proof...)
	var err error
	p.Conn, err = nats.Connect(t.NATS, options...)
	return p, err
}

// verdict says how the server took what was sent before: Denied if it complained
// of permissions, Unanswered if it did not complain.
func (p *peer) verdict() (Observation, error) {
	_ = p.FlushTimeout(natsWithin) // the server reads in order: its complaint comes before the pong
	select {
	case err := <-p.complaints:
		if errors.Is(err, nats.ErrPermissionViolation) || strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			return silently(Denied), nil
		}
		return Observation{}, fmt.Errorf("the server complains: %w", err)
	case <-time.After(500 * time.Millisecond):
		return silently(Unanswered), nil
	}
}

// ask asks the switch for an operation in the peer's own name.
func (p *peer) ask(ctx context.Context, operation, key, body string) (Observation, error) {
	m := nats.NewMsg("tm.v1." + p.who + "." + operation)
	m.Data = []byte(body)
	if key != "" {
		m.Header.Set(tongma.HeaderKey, key)
	}
	ctx, cancel := context.WithTimeout(ctx, isoWithin)
	defer cancel()
	a, err := p.RequestMsgWithContext(ctx, m)
	if err != nil {
		return Observation{}, fmt.Errorf("no answer: %w", err)
	}
	if err := p.t.repeats(a.Data); err != nil {
		return Observation{}, err
	}
	return observeNATS(a)
}

// observeNATS reads a problem, which its headers announce, or an answer.
func observeNATS(m *nats.Msg) (Observation, error) {
	code := m.Header.Get("Nats-Service-Error-Code")
	if code == "" {
		a, err := heard{kind: "application/json", body: m.Data}.answer()
		if err != nil {
			return Observation{}, err
		}
		return a.observe()
	}
	o, err := observeProblem(m.Data, 0)
	if err == nil && code != o.Reason.Code() {
		err = fmt.Errorf("the header says %s, the document %s", code, o.Reason.Code())
	}
	return o, err
}

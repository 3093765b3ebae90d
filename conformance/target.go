package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The sandbox's market, as the suite uses it. north is an acquirer only and has
// an ISO 8583 link; harbour is an acquirer and a wallet; wechat, alipay and
// tongbao are wallets.
const (
	north    = "acq-north"
	harbour  = "acq-harbour"
	wechat   = "wechatpay"
	alipay   = "antnet"
	tongbao  = "tongbao"
	thainet  = "thainet"
	operator = "operator"

	northDE32   = "00010344"
	harbourDE32 = "00020344"
)

// Target is a running switch with the sandbox's directory, and play money only.
// It is not safe for use by several goroutines at once.
type Target struct {
	HTTP    string // base URL
	ISO8583 string // host:port
	NATS    string // URL
	Creds   string // folder of the participants' tokens and NKey seeds

	client *http.Client
	tokens map[string]string
	seed   uint64 // keeps the codes and keys of two runs apart
	serial atomic.Uint64
	next   uint64   // journal entry to look from
	secret []string // payers' codes that were shown: nobody may repeat them
}

// Open finds the switch that runs on a data folder. The seed must differ from
// that of an earlier run on the same folder, since codes and keys are one-time.
func Open(dir string, seed uint64) (*Target, error) {
	text, err := os.ReadFile(filepath.Join(dir, "node.json"))
	if err != nil {
		return nil, fmt.Errorf("conformance: no switch runs on %s: %w", dir, err)
	}
	var where struct{ HTTP, ISO8583, NATS string }
	if err := json.Unmarshal(text, &where); err != nil {
		return nil, fmt.Errorf("conformance: node.json: %w", err)
	}
	if where.HTTP == "" || where.ISO8583 == "" || where.NATS == "" {
		return nil, errors.New("conformance: the switch must have all three doors open")
	}
	t := &Target{HTTP: where.HTTP, ISO8583: where.ISO8583, NATS: where.NATS, Creds: filepath.Join(dir, "creds"),
		client: &http.Client{Timeout: 20 * time.Second}, tokens: map[string]string{}, seed: seed, next: 1}
	for _, who := range []string{operator, north, harbour, wechat, alipay, tongbao, thainet} {
		token, err := os.ReadFile(filepath.Join(t.Creds, who+".token"))
		if err != nil {
			return nil, fmt.Errorf("conformance: token of %s: %w", who, err)
		}
		t.tokens[who] = strings.TrimSpace(string(token))
	}
	return t, nil
}

// number returns a number that this target has not given before.
func (t *Target) number() uint64 { return t.seed%100_000*10_000 + t.serial.Add(1) }

// key returns a fresh idempotency key.
func (t *Target) key() string { return fmt.Sprintf("bad-%x-%d", t.seed, t.serial.Add(1)) }

// payer notes a payer's code, which is a secret from here on.
func (t *Target) payer(code string) string {
	if len(code) >= 16 {
		t.secret = append(t.secret, code)
	}
	return code
}

// repeats tells whether a text holds a payer's code.
func (t *Target) repeats(text []byte) error {
	for _, code := range t.secret {
		if bytes.Contains(text, []byte(code)) {
			return errors.New("it repeats a payer's code")
		}
	}
	return nil
}

// books is what the switch shows of its books.
type books struct {
	positions []byte
	entries   uint64
}

// look reads all positions, holds included, and how long the journal is.
func (t *Target) look(ctx context.Context) (books, error) {
	a, err := t.http(ctx, call{who: operator, method: http.MethodGet, path: "/v1/positions"})
	if err != nil {
		return books{}, err
	}
	if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"reserved"`)) {
		return books{}, fmt.Errorf("GET /v1/positions: status %d", a.status)
	}
	for {
		page, err := t.http(ctx, call{who: operator, method: http.MethodGet, path: "/v1/journal?limit=1000&from=" + strconv.FormatUint(t.next, 10)})
		if err != nil {
			return books{}, err
		}
		var body struct {
			Lines []json.RawMessage `json:"lines"`
			Next  uint64            `json:"next"`
		}
		if page.status != http.StatusOK || json.Unmarshal(page.body, &body) != nil {
			return books{}, fmt.Errorf("GET /v1/journal: status %d", page.status)
		}
		if err := t.repeats(page.body); err != nil {
			return books{}, fmt.Errorf("the journal, from entry %d: %w", t.next, err)
		}
		t.next = body.Next
		if len(body.Lines) < 1000 {
			return books{positions: a.body, entries: body.Next - 1}, nil
		}
	}
}

// alive asks whether the process answers and takes payments.
func (t *Target) alive(ctx context.Context) error {
	for _, path := range []string{"/livez", "/readyz"} {
		a, err := t.http(ctx, call{method: http.MethodGet, path: path})
		if err != nil {
			return err
		}
		if a.status != http.StatusOK || strings.TrimSpace(string(a.body)) != "ok" {
			return fmt.Errorf("GET %s: status %d", path, a.status)
		}
	}
	return nil
}

// undo reverses a payment of north.
func (t *Target) undo(ctx context.Context, payment string) error {
	a, err := t.http(ctx, call{who: north, method: http.MethodPost, path: "/v1/payments/" + payment + "/reverse", key: t.key()})
	if err != nil {
		return err
	}
	if got, err := a.answer(); err != nil || got.Status != "reversed" {
		return fmt.Errorf("status %d, %q: %w", a.status, got.Status, err)
	}
	return nil
}

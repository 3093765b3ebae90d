package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

// ask is the body of a question about money. A member of nil is left out.
type ask map[string]any

// money is an amount in minor units.
func money(minor int64, currency string) ask { return ask{"minor": minor, "currency": currency} }

// with returns the body with members changed; nil takes one out.
func (a ask) with(changes ask) ask {
	out := maps.Clone(a)
	for name, value := range changes {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

func (a ask) String() string {
	text, _ := json.Marshal(a) // strings, numbers and maps only: cannot fail
	return string(text)
}

// till is what a payment carries besides its code: 12.50 CNY at a noodle house.
func till(code string) ask {
	return ask{"code": code, "amount": money(1250, "CNY"), "order": "table 7",
		"merchant": ask{"id": "898100012340001", "name": "SHANGHAI NOODLE HOUSE", "city": "SHANGHAI", "country": "CN", "mcc": "5812", "terminal": "T0000001"}}
}

// post asks over HTTP, with a fresh key.
func (t *Target) post(ctx context.Context, who, path string, body ask) (Observation, error) {
	return t.send(ctx, call{who: who, method: http.MethodPost, path: path, key: t.key(), body: body.String()})
}

// send sends one HTTP request and tells what came of it.
func (t *Target) send(ctx context.Context, c call) (Observation, error) {
	a, err := t.http(ctx, c)
	if err != nil {
		return Observation{}, err
	}
	return a.observe()
}

// pays makes a good payment of north over HTTP, and wants it in the status.
func (t *Target) pays(ctx context.Context, status string, body ask) (Prior, error) {
	p := Prior{Key: t.key(), Code: body["code"].(string), Pending: status == "pending"}
	// A payer who never confirms is pending at once; the patience only bounds it.
	a, err := t.http(ctx, call{who: north, method: http.MethodPost, path: "/v1/payments", key: p.Key, body: body.String()})
	if err != nil {
		return p, err
	}
	got, err := a.answer()
	if err == nil && got.Status != status {
		err = fmt.Errorf("a good payment is %q for the reason %q, want %q", got.Status, got.ReasonName, status)
	}
	p.Payment = got.Payment
	return p, err
}

// paid, declinedBefore and pendingBefore prepare a payment of north by WeChat Pay.
func paid(ctx context.Context, t *Target) (Prior, error) {
	return t.pays(ctx, "approved", till(t.wechatCode(approve)))
}

func declinedBefore(ctx context.Context, t *Target) (Prior, error) {
	return t.pays(ctx, "declined", till(t.wechatCode(decline51)))
}

func pendingBefore(ctx context.Context, t *Target) (Prior, error) {
	return t.pays(ctx, "pending", till(t.wechatCode(pendingForever)))
}

// shown shows a code at every door that takes it: a payer's at the till over HTTP,
// NATS and ISO 8583, a merchant's in the wallet over HTTP and NATS. All must say
// the same.
type shown struct {
	code     func(t *Target, before Prior) string
	amount   ask    // nil: 12.50 CNY
	transfer bool   // a wallet scans it, rather than a till
	who      string // "": north at the till, Tongbao as the wallet
	country  string // of the till; "": CN
	noISO    bool   // ISO 8583 cannot carry the code
}

// fixed shows one and the same code.
func fixed(code string) func(*Target, Prior) string {
	return func(*Target, Prior) string { return code }
}

// fresh shows a code that is made anew for every door.
func fresh(make func(*Target) string) func(*Target, Prior) string {
	return func(t *Target, _ Prior) string { return make(t) }
}

// again shows the code of the payment before.
func again(_ *Target, before Prior) string { return before.Code }

func (s shown) do(ctx context.Context, t *Target, before Prior) (Observation, error) {
	over, err := s.http(ctx, t, before)
	if err != nil {
		return over, fmt.Errorf("HTTP: %w", err)
	}
	other, err := s.nats(ctx, t, before)
	if err == nil && (other.Reason != over.Reason || other.Money != over.Money) {
		err = fmt.Errorf("it says %v, HTTP says %v", other, over)
	}
	if err != nil {
		return over, fmt.Errorf("NATS: %w", err)
	}
	if s.transfer || s.noISO {
		return over, nil
	}
	if other, err = s.iso(ctx, t, before); err == nil && other.Reason != over.Reason {
		err = fmt.Errorf("it says %v, HTTP says %v", other, over)
	}
	if over.DE39 = other.DE39; err != nil {
		return over, fmt.Errorf("ISO 8583: %w", err)
	}
	return over, nil
}

// shows returns the code. A payer's is noted as a secret.
func (s shown) shows(t *Target, before Prior) string {
	code := s.code(t, before)
	if !s.transfer {
		t.payer(code)
	}
	return code
}

func (s shown) body(t *Target, before Prior) ask {
	body := till(s.shows(t, before))
	if s.amount != nil {
		body["amount"] = s.amount
	}
	if s.transfer {
		return body.with(ask{"merchant": nil, "order": nil})
	}
	body["merchant"].(ask)["country"] = cmp.Or(s.country, "CN")
	return body
}

func (s shown) asker() string {
	if s.transfer {
		return cmp.Or(s.who, tongbao)
	}
	return cmp.Or(s.who, north)
}

func (s shown) http(ctx context.Context, t *Target, before Prior) (Observation, error) {
	path := "/v1/payments"
	if s.transfer {
		path = "/v1/transfers"
	}
	return t.post(ctx, s.asker(), path, s.body(t, before))
}

func (s shown) nats(ctx context.Context, t *Target, before Prior) (Observation, error) {
	p, err := t.connect(s.asker())
	if err != nil {
		return Observation{}, err
	}
	defer p.Close()
	operation := "pay"
	if s.transfer {
		operation = "transfer"
	}
	return p.ask(ctx, operation, t.key(), s.body(t, before).String())
}

func (s shown) iso(ctx context.Context, t *Target, before Prior) (Observation, error) {
	l, err := t.isoDial(ctx)
	if err != nil {
		return Observation{}, err
	}
	defer l.close()
	if err := l.signOn(); err != nil {
		return Observation{}, err
	}
	f := t.purchase(s.shows(t, before))
	f[43] = fmt.Sprintf("%-25s%-13s%-2s", "SHANGHAI NOODLE HOUSE", "SHANGHAI", cmp.Or(s.country, "CN"))
	if s.amount != nil {
		currency, ok := tongma.CurrencyByCode(s.amount["currency"].(string))
		if !ok {
			return Observation{}, errors.New("a currency that DE49 cannot name")
		}
		f[4], f[49] = fmt.Sprintf("%012d", s.amount["minor"]), currency.Number()
	}
	reply, err := l.ask("0200", f)
	if err != nil {
		return Observation{}, err
	}
	return observeISO(reply)
}

// want leaves of what must come only what the doors of s can say.
func (s shown) want(o Observation) Observation {
	if s.transfer || s.noISO {
		o.DE39 = ""
	}
	return o
}

// codeCase is a row of the tables of codes.
func codeCase(id, title string, s shown, want Observation) Case {
	return Case{ID: id, Door: DoorCode, Title: title, Do: s.do, Want: s.want(want)}
}

// after gives a case something that went before.
func (c Case) after(prepare func(context.Context, *Target) (Prior, error)) Case {
	c.Prepare = prepare
	return c
}

// httpCase is a row of the tables of HTTP: make says what is sent.
func httpCase(id, title string, want Observation, make func(t *Target, before Prior) call) Case {
	return Case{ID: id, Door: DoorHTTP, Title: title, Want: want.over(DoorHTTP), Do: func(ctx context.Context, t *Target, before Prior) (Observation, error) {
		c := make(t, before)
		c.method = cmp.Or(c.method, http.MethodPost)
		c.path = strings.ReplaceAll(c.path, "{id}", before.Payment)
		return t.send(ctx, c)
	}}
}

// refusedBefore prepares a payment that no wallet has heard of.
func refusedBefore(ctx context.Context, t *Target) (Prior, error) {
	return t.pays(ctx, "declined", till("990000000000000001"))
}

// reversedBefore prepares a payment that was paid and reversed.
func reversedBefore(ctx context.Context, t *Target) (Prior, error) {
	p, err := paid(ctx, t)
	if err == nil {
		err = t.undo(ctx, p.Payment)
	}
	return p, err
}

// refunded prepares a payment of 12.50 of which 10.00 were given back.
func refunded(ctx context.Context, t *Target) (Prior, error) {
	p, err := paid(ctx, t)
	if err == nil {
		_, err = t.refund(ctx, p.Payment)
	}
	return p, err
}

// theRefund prepares the same, and names the refund.
func theRefund(ctx context.Context, t *Target) (Prior, error) {
	p, err := paid(ctx, t)
	if err == nil {
		p.Payment, err = t.refund(ctx, p.Payment)
	}
	return p, err
}

// refund gives 10.00 CNY of a payment of north back.
func (t *Target) refund(ctx context.Context, payment string) (id string, err error) {
	a, err := t.http(ctx, call{who: north, method: http.MethodPost, path: "/v1/payments/" + payment + "/refunds", key: t.key(), body: ask{"amount": money(1000, "CNY")}.String()})
	if err != nil {
		return "", err
	}
	got, err := a.answer()
	if err == nil && got.Status != "approved" {
		err = fmt.Errorf("a good refund is %q for the reason %q", got.Status, got.ReasonName)
	}
	return got.Payment, err
}

// reversedUnseen prepares a key whose payment was reversed before it came.
func reversedUnseen(ctx context.Context, t *Target) (Prior, error) {
	p := Prior{Key: t.key()}
	a, err := t.http(ctx, call{who: north, method: http.MethodPost, path: "/v1/reversals", key: t.key(), body: ask{"of_key": p.Key}.String()})
	if err != nil {
		return p, err
	}
	got, err := a.answer()
	if err == nil && got.Status != "reversed" {
		err = fmt.Errorf("the reversal is %q for the reason %q", got.Status, got.ReasonName)
	}
	return p, err
}

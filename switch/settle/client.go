package settle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// ClientOptions are the edges of a Client.
type ClientOptions struct {
	Agent     schemes.AgentID
	Directory func() *schemes.Directory // the version in force; parties and accounts are its own
	URL       string                    // in place of the directory's; may be empty
	Token     string                    // sent as "Authorization: Bearer"; may be empty with certificates
	HTTP      *http.Client              // with the certificates, if any; default: no cookies, no redirects
	Now       func() time.Time
	Timeout   time.Duration // of one request; default 10 s
	Tries     int           // how often a transfer is sent if no answer comes; default 3
	Pause     time.Duration // between two tries, doubled each time; default 200 ms
}

// Client is an Agent that speaks ISO 20022 over HTTP: a pacs.009, a pacs.010 where
// the debtor has given a mandate, and a camt.050 out of prefunding, each in an
// envelope with its head.001. What it takes for settled is what the agent's advice
// (camt.054) says was booked on the settlement account, if there is one.
type Client struct{ opts ClientOptions }

// NewClient returns a Client. It connects when it is used.
func NewClient(opts ClientOptions) *Client {
	opts.Timeout, opts.Tries, opts.Pause = cmp.Or(opts.Timeout, 10*time.Second), cmp.Or(opts.Tries, 3), cmp.Or(opts.Pause, 200*time.Millisecond)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{Transport: connections()}
	}
	h := *opts.HTTP
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a token goes to one address alone
	opts.HTTP = &h
	return &Client{opts}
}

// connections are kept open for as many transfers as are under way at once: to connect
// takes longer than to ask.
func connections() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 2 * AtOnce
	return t
}

// Move sends a transfer, and again under the same ids if no answer comes and the
// agent has not heard of it.
func (c *Client) Move(ctx context.Context, t Transfer) Word {
	doc, head, err := c.message(t)
	if err != nil {
		return Word{Err: err}
	}
	last := Word{}
	for try := range c.opts.Tries {
		if try > 0 {
			if !pause(ctx, c.opts.Pause<<(try-1)) {
				break
			}
			if w := c.Ask(ctx, t); w.Outcome != Unheard { // not on its way twice without need
				if last = w; w.Outcome != Unknown {
					return w
				}
				continue
			}
			head.PossibleDuplicate = true
		}
		body, err := doc.Envelope(head)
		if err != nil {
			return Word{Err: err}
		}
		w, again := c.post(ctx, t, doc.ID, body)
		if last = w; !again {
			return w
		}
	}
	return last
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Ask asks for the status of a transfer, and for what was booked under its id.
func (c *Client) Ask(ctx context.Context, t Transfer) Word {
	code, body, err := c.call(ctx, http.MethodGet, "/v1/status/"+url.PathEscape(t.ID), nil)
	switch {
	case err != nil:
		return Word{Err: err}
	case code == http.StatusNotFound:
		return Word{Outcome: Unheard}
	case code != http.StatusOK:
		return Word{Err: silent("status", code, nil)}
	}
	return c.understand(ctx, t, "", body)
}

// post sends one message. again tells whether it is worth sending once more.
func (c *Client) post(ctx context.Context, t Transfer, id string, body []byte) (w Word, again bool) {
	code, answer, err := c.call(ctx, http.MethodPost, "/v1/messages", body)
	switch {
	case err != nil:
		return Word{Err: err}, true
	case code >= 500:
		return Word{Err: silent("message", code, nil)}, true
	case code == http.StatusConflict:
		// The id was taken before, and the message was another one: as of an account that
		// the directory has changed since. What became of the first one counts.
		if w = c.Ask(ctx, t); w.Outcome == Unheard {
			w = Word{Err: silent("message", code, nil)}
		}
		return w, false
	case code != http.StatusOK && code != http.StatusAccepted:
		// Refused before it was taken, or the id stands for something else: a person
		// has to look, and what is not known stays so.
		return Word{Err: silent("message", code, nil)}, false
	}
	w = c.understand(ctx, t, id, answer)
	return w, w.Outcome == Unknown
}

// silent is the error of an answer that tells nothing.
func silent(op string, code int, err error) error {
	e := &tongma.Error{Op: "settle.agent." + op, Reason: tongma.AgentSilent, Err: err}
	if code != 0 {
		e.Detail = "the agent answered HTTP " + strconv.Itoa(code) + " " + http.StatusText(code)
	}
	return e
}

func (c *Client) call(ctx context.Context, method, path string, body []byte) (code int, answer []byte, err error) {
	base, err := c.base()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, silent("call", 0, errors.New("the agent's address is wrong"))
	}
	req.GetBody = nil // the transport must not send it a second time by itself
	if body != nil {
		req.Header.Set("Content-Type", "application/xml; charset=utf-8")
	}
	if c.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	res, err := c.opts.HTTP.Do(req)
	if err != nil {
		return 0, nil, silent("call", 0, err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(res.Body, iso20022.MaxBytes+1))
	if err != nil || len(answer) > iso20022.MaxBytes {
		return 0, nil, silent("call", 0, cmp.Or(err, errors.New("the answer is too long")))
	}
	return res.StatusCode, answer, nil
}

func (c *Client) base() (string, error) {
	base := c.opts.URL
	if base == "" {
		if a, ok := c.opts.Directory().Agent(c.opts.Agent); ok {
			base = a.URL
		}
	}
	if base == "" {
		return "", &tongma.Error{Op: "settle.agent", Reason: tongma.SetupInvalid, Detail: "the directory has no address of agent " + string(c.opts.Agent)}
	}
	return strings.TrimSuffix(base, "/"), nil
}

// understand finds the status of a transfer in an answer. message is the id of the
// message that asked, for answers that are about messages as wholes.
func (c *Client) understand(ctx context.Context, t Transfer, message string, body []byte) Word {
	m, err := iso20022.Read(body)
	if err != nil {
		return Word{Err: err}
	}
	for _, s := range m.Statuses {
		whole := s.Whole && message != "" && s.Original == message
		if !whole && !s.About(t.ID) {
			continue
		}
		w := Word{Outcome: Pending, Ref: s.AgentRef, Text: s.Reason}
		switch {
		case s.Outcome == tongma.Approved:
			w.Outcome, w.Amount = Settled, t.Amount
			return c.booked(ctx, t, w)
		case s.Outcome == tongma.Declined && s.Cause() == iso20022.CauseTwice:
			return c.taken(ctx, t, message != "")
		case s.Outcome == tongma.Declined:
			w.Outcome, w.Form = Rejected, s.Cause() == iso20022.CauseForm
		case s.Code == "ACWC": // accepted with a change: the advice says what it was
			return c.booked(ctx, t, w)
		}
		return w
	}
	return Word{Err: &tongma.Error{Op: "settle.agent", Reason: tongma.AgentSilent, Detail: "the agent's answer says nothing of the instruction"}}
}

// taken finds out what became of an instruction of which the agent says that it had it
// before: that is no refusal of what it took then. Its status tells, or else the advice.
func (c *Client) taken(ctx context.Context, t Transfer, ask bool) Word {
	if ask {
		return c.Ask(ctx, t)
	}
	w := c.booked(ctx, t, Word{Outcome: Pending})
	if w.Outcome == Pending {
		w = Word{Err: &tongma.Error{Op: "settle.agent", Reason: tongma.AgentSilent, Detail: "the agent says that it took the instruction before, and not what became of it"}}
	}
	return w
}

// booked corrects a word by the agent's advice. Less than was asked for is a part;
// more is all of it, and the rest is for reconciliation. Without an advice, a word
// that it was settled stands, and one that it was changed leaves the amount open. So
// does any word on a transfer of which we do not know the amount.
func (c *Client) booked(ctx context.Context, t Transfer, w Word) Word {
	sum, ok, err := c.advised(ctx, t)
	switch {
	case t.Amount.Minor == 0 && (err != nil || !ok):
		return Word{Err: cmp.Or(err, silent("booked", 0, errors.New("it says that it moved money, and not how much")))}
	case err != nil && w.Outcome != Settled:
		return Word{Err: err}
	case !ok || err != nil:
		return w
	case sum.Currency != t.Amount.Currency:
		return Word{Err: &tongma.Error{Op: "settle.agent", Reason: tongma.CurrencyMismatch, Detail: "the agent booked another currency"}}
	case t.Amount.Minor == 0:
		w.Outcome, w.Amount = Settled, sum
	case sum.Minor >= t.Amount.Minor:
		w.Outcome, w.Amount = Settled, t.Amount
	default:
		w.Outcome, w.Amount = Partly, sum
	}
	return w
}

// advised sums up what was booked on the settlement account under an id, each of the
// agent's references once, less what went back.
func (c *Client) advised(ctx context.Context, t Transfer) (sum tongma.Money, found bool, err error) {
	if t.Debtor != "" && t.Creditor != "" {
		return sum, false, nil // it does not touch the settlement account
	}
	code, body, err := c.call(ctx, http.MethodGet, "/v1/notifications?instruction="+url.QueryEscape(t.ID), nil)
	if err != nil || code == http.StatusNoContent || code == http.StatusNotFound {
		return sum, false, err
	}
	if code != http.StatusOK {
		return sum, false, silent("notifications", code, nil)
	}
	m, err := iso20022.Read(body)
	if err != nil {
		return sum, false, err
	}
	type booking struct {
		ref    string
		amount tongma.Money
		credit bool
	}
	seen := map[booking]bool{}
	for _, a := range m.Advices {
		for _, e := range a.Entries {
			for _, d := range e.Details {
				one := booking{cmp.Or(d.AgentRef, e.AgentRef), d.Amount, d.Credit}
				if !e.Booked || !d.About(t.ID) || seen[one] {
					continue
				}
				if seen[one] = one.ref != ""; d.Credit != t.Debit {
					d.Amount.Minor = -d.Amount.Minor
				}
				if !found {
					sum.Currency, found = d.Amount.Currency, true
				}
				if sum, err = sum.Add(d.Amount); err != nil {
					return sum, false, err
				}
			}
		}
	}
	return sum, found, nil
}

// message makes the message of one transfer, with its header.
func (c *Client) message(t Transfer) (iso20022.Document, iso20022.Header, error) {
	d, now := c.opts.Directory(), c.opts.Now()
	h, agent, err := Heading(d, c.opts.Agent, t.Amount.Currency, settlesOn(d, &t, now), now)
	if err != nil {
		return iso20022.Document{}, iso20022.Header{}, err
	}
	for _, p := range [...]tongma.ParticipantID{t.Debtor, t.Creditor} {
		if _, known := h.Parties[p]; p != "" && !known { // as of one that has left with something open
			return iso20022.Document{}, iso20022.Header{}, &tongma.Error{Op: "settle.agent", Reason: tongma.SetupInvalid,
				Detail: "the directory has no account of " + string(p) + " at the agent: put it back, or two people say how it was paid"}
		}
	}
	doc, err := messageOf(h, c.opts.Directory(), c.opts.Agent, t)
	return doc, doc.Header(h.Sender, agent), err
}

// settlesOn is the settlement date that a transfer is sent with: its value date, today where
// the model's schedule lives if there is none, or once that has passed where the model's schedule lives, the first good day from today on. No
// agent books into the past, and what is tried again days later would be refused for ever.
// That it is late, reconciliation shows.
func settlesOn(d *schemes.Directory, t *Transfer, now time.Time) uint32 {
	zone, good := time.UTC, calendar.Good{}
	if m, ok := d.SettlementModel(t.Model); ok && m.Schedule != nil {
		if there, err := time.LoadLocation(m.Schedule.Zone()); err == nil {
			zone = there
		}
		good, _ = m.Schedule.Good(now)
	}
	today := calendar.DateOf(now.In(zone))
	switch {
	case t.ValueDate == 0:
		return dateNumber(today)
	case dateNumber(today) <= t.ValueDate:
		return t.ValueDate
	}
	if next, err := good.Roll(today, calendar.Following); err == nil {
		today = next
	}
	return dateNumber(today)
}

func messageOf(h iso20022.Heading, d *schemes.Directory, agent schemes.AgentID, t Transfer) (iso20022.Document, error) {
	one := []clearing.Instruction{t.Instruction}
	switch {
	case t.Prefunding:
		from := h.Parties[t.Debtor]
		p, _ := d.Participant(t.Debtor)
		if p != nil {
			if a, ok := p.Account(agent, t.Amount.Currency); ok && !a.Prefunding.IsZero() {
				from.Account = accountOf(a.Prefunding)
			}
		}
		to := h.Settlement
		if t.Creditor != "" {
			to = h.Parties[t.Creditor]
		}
		h.ID = iso20022.MessageKey(iso20022.Camt050, one)
		return iso20022.LiquidityTransfer(h, iso20022.Liquidity{ID: t.ID, From: from, To: to, Amount: t.Amount})
	case t.Debit && t.Creditor == "" && h.Parties[t.Debtor].Mandate != "":
		h.ID = iso20022.MessageKey(iso20022.Pacs010, one)
		return iso20022.DirectDebits(h, one)
	}
	h.ID = iso20022.MessageKey(iso20022.Pacs009, one)
	return iso20022.CreditTransfers(h, one)
}

// Heading returns what every message to an agent says, by a directory: who the
// switch and the participants are to it, and their accounts in the currency. The
// settlement date is the value date, or the day of now if there is none.
func Heading(d *schemes.Directory, id schemes.AgentID, c tongma.Currency, valueDate uint32, now time.Time) (h iso20022.Heading, agent iso20022.Party, err error) {
	a, ok := d.Agent(id)
	if !ok || !a.Settles(c) {
		return h, agent, &tongma.Error{Op: "settle", Reason: tongma.SetupInvalid, Detail: "the directory has no agent " + string(id) + " that settles in " + c.Code()}
	}
	h = iso20022.Heading{Created: now, Date: iso20022.DateOf(now), System: a.System, SystemCode: a.SystemCode,
		Settlement: partyOf(a.Switch, a.Settlement[c]), Sender: partyOf(a.Switch, schemes.AccountID{}), Agent: partyOf(a.Who, schemes.AccountID{}),
		Parties: map[tongma.ParticipantID]iso20022.Party{}}
	if valueDate != 0 {
		h.Date = iso20022.Date{Year: int(valueDate / 10000), Month: time.Month(valueDate / 100 % 100), Day: int(valueDate % 100)}
	}
	for _, p := range d.Participants() {
		if acct, ok := p.Account(id, c); ok {
			party := partyOf(acct.Holder, acct.ID)
			party.Mandate = acct.Mandate
			h.Parties[p.ID] = party
		}
	}
	return h, h.Agent, nil
}

func partyOf(who schemes.Institution, account schemes.AccountID) iso20022.Party {
	return iso20022.Party{Name: who.Name, BIC: who.BIC, Other: who.ID, Scheme: who.IDKind, Account: accountOf(account)}
}

func accountOf(a schemes.AccountID) iso20022.Account {
	return iso20022.Account{IBAN: a.IBAN, Other: a.Other}
}

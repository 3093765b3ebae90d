package agentsim

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// Kind is what an account is for.
type Kind string

// The kinds of accounts.
const (
	Participant Kind = "participant" // a participant's settlement account
	Settlement  Kind = "settlement"  // the switch's: debits come in, credits go out
	Prefunding  Kind = "prefunding"  // a participant's money that is set aside
	Guarantee   Kind = "guarantee"   // the guarantee fund, or a committed line of credit
	Own         Kind = "own"         // the agent's: where money comes from; it may go below zero without bound
)

// Account is one account in one currency.
type Account struct {
	ID       string          `json:"id"` // an IBAN, or at most 34 characters
	Currency tongma.Currency `json:"-"`
	Code     string          `json:"currency"`
	Kind     Kind            `json:"kind"`
	Owner    string          `json:"owner,omitempty"` // BIC or other id by which messages name the owner
	Mandate  string          `json:"mandate,omitempty"`
	Limit    int64           `json:"limit_minor,omitempty"` // how far below zero it may go
	Balance  int64           `json:"balance_minor"`
}

// Movement is one booking: money from one account to another.
type Movement struct {
	Number   uint64 `json:"number"` // gapless, from 1
	From     string `json:"from"`
	To       string `json:"to"`
	Currency string `json:"currency"`
	Minor    int64  `json:"amount_minor"` // more than zero
	ID       string `json:"id"`           // EndToEndId of the instruction, or key of the funding
	UETR     string `json:"uetr,omitempty"`
	Message  string `json:"message,omitempty"`
	At       int64  `json:"at"` // Unix milliseconds
	Booked   string `json:"booked"`
	Value    string `json:"value"`
}

// Ref is the agent's own reference of the movement (AcctSvcrRef).
func (m *Movement) Ref() string { return fmt.Sprintf("AGT%012d", m.Number) }

// transaction is what became of one instruction.
type transaction struct {
	ID       string `json:"id"`
	UETR     string `json:"uetr,omitempty"`
	Message  string `json:"message"`
	About    string `json:"about"` // definition of the message
	From     string `json:"from"`
	To       string `json:"to"`
	Currency string `json:"currency"`
	Minor    int64  `json:"amount_minor"` // asked for
	Code     string `json:"code"`         // ACSC, ACWC, RJCT or PDNG
	Reason   string `json:"reason,omitempty"`
	Ref      string `json:"ref,omitempty"`
	Settled  string `json:"settled,omitempty"` // day
	Due      int64  `json:"due,omitempty"`     // PDNG: when it will be looked at, Unix milliseconds; 0: never
	Value    int    `json:"value_days,omitempty"`
	Taken    string `json:"taken,omitempty"` // day, where duplicates are looked for within one
}

// The codes of a transaction.
const (
	codeSettled  = "ACSC"
	codeChanged  = "ACWC" // settled, but not as asked: the advice says how much
	codeRejected = "RJCT"
	codePending  = "PDNG"
)

// message is an order that was taken.
type message struct {
	ID     string   `json:"id"`
	About  string   `json:"about"`
	Digest string   `json:"digest"` // SHA-256 of the document
	Legs   []string `json:"legs"`
	Taken  string   `json:"taken,omitempty"` // as of a transaction
}

// change is one line of the file: all that one request did, or nothing of it.
type change struct {
	At           int64         `json:"at"`
	Accounts     []Account     `json:"accounts,omitempty"` // opened or changed; their balances move by Movements alone
	Movements    []Movement    `json:"movements,omitempty"`
	Transactions []transaction `json:"transactions,omitempty"`
	Message      *message      `json:"message,omitempty"`
	Faults       []Fault       `json:"faults,omitempty"` // planted, or with fewer Times left
	Clear        bool          `json:"clear,omitempty"`  // all faults are taken away first
}

type accountKey struct{ id, currency string }

// bank is the agent's books. Only apply changes it, live and when the file is read.
type bank struct {
	accounts     map[accountKey]*Account
	movements    []Movement
	transactions map[string]*transaction
	messages     map[string]*message
	funded       map[string]Movement
	faults       []Fault
	planted      int
	pending      int // transactions that are due some time
}

func newBank() *bank {
	return &bank{accounts: map[accountKey]*Account{}, transactions: map[string]*transaction{}, messages: map[string]*message{}, funded: map[string]Movement{}}
}

func broken(detail string) error {
	return &tongma.Error{Op: "agentsim", Reason: tongma.Internal, Detail: detail}
}

// apply takes a whole change or, with an error, nothing of it.
func (b *bank) apply(c *change) error {
	if err := b.check(c); err != nil {
		return err
	}
	for _, a := range c.Accounts {
		b.open(a)
	}
	for _, m := range c.Movements {
		b.accounts[accountKey{m.From, m.Currency}].Balance -= m.Minor
		b.accounts[accountKey{m.To, m.Currency}].Balance += m.Minor
		b.movements = append(b.movements, m)
		if m.Message == "" {
			b.funded[m.ID] = m
		}
	}
	for _, t := range c.Transactions {
		if old := b.transactions[t.ID]; old != nil && old.Due > 0 {
			b.pending--
		}
		if t.Due > 0 {
			b.pending++
		}
		b.transactions[t.ID] = &t
	}
	if c.Message != nil {
		b.messages[c.Message.ID] = c.Message
	}
	b.changeFaults(c)
	return nil
}

func (b *bank) open(a Account) {
	a.Currency, _ = tongma.CurrencyByCode(a.Code)
	k := accountKey{a.ID, a.Code}
	if old := b.accounts[k]; old != nil {
		a.Balance = old.Balance
	} else {
		a.Balance = 0
	}
	b.accounts[k] = &a
}

// maxBalance keeps every sum of balances far from overflow.
const maxBalance = 1 << 60

// check runs the movements on copies of the balances that they touch: none may pass
// its limit, not even between two movements of one change.
func (b *bank) check(c *change) error {
	limit, balance := map[accountKey]int64{}, map[accountKey]int64{}
	for _, a := range c.Accounts {
		if cur, ok := tongma.CurrencyByCode(a.Code); !ok || cur == 0 || a.ID == "" || a.Limit < 0 || a.Limit > maxBalance {
			return broken("an account is not of the form")
		}
		limit[accountKey{a.ID, a.Code}] = a.limit()
	}
	next := uint64(len(b.movements))
	for _, m := range c.Movements {
		if next++; m.Number != next || m.Minor <= 0 || m.Minor > maxBalance || m.From == m.To {
			return broken(fmt.Sprintf("movement %d is out of order or not of the form", m.Number))
		}
		for id, minor := range map[string]int64{m.From: -m.Minor, m.To: m.Minor} {
			k := accountKey{id, m.Currency}
			if a := b.accounts[k]; a != nil {
				if _, seen := limit[k]; !seen {
					limit[k] = a.limit()
				}
				if _, seen := balance[k]; !seen {
					balance[k] = a.Balance
				}
			}
			if _, known := limit[k]; !known {
				return broken("a movement is on an account that there is not")
			}
			balance[k] += minor
			if balance[k] < -limit[k] || balance[k] > maxBalance {
				return broken(fmt.Sprintf("movement %d takes a balance past its limit", m.Number))
			}
		}
	}
	return nil
}

// limit is how far below zero an account may go.
func (a *Account) limit() int64 {
	if a.Kind == Own {
		return maxBalance
	}
	return a.Limit
}

// room is what an account can pay.
func (a *Account) room() int64 { return a.Balance + a.limit() }

// find returns the account that a party of a message means: by its number, else by
// its owner if the owner has one account only to settle with.
func (b *bank) find(p iso20022.Party, currency string) *Account {
	if id := cmp.Or(p.Account.IBAN, p.Account.Other); id != "" {
		return b.accounts[accountKey{id, currency}]
	}
	return b.only(currency, func(a *Account) bool {
		return (a.Kind == Participant || a.Kind == Settlement) && a.Owner != "" && (a.Owner == p.BIC || a.Owner == p.Other)
	})
}

// only returns the account that fits, if it is one alone.
func (b *bank) only(currency string, fits func(*Account) bool) (found *Account) {
	for k, a := range b.accounts {
		if k.currency == currency && fits(a) {
			if found != nil {
				return nil
			}
			found = a
		}
	}
	return found
}

// list returns all accounts by currency and number.
func (b *bank) list() []Account {
	out := make([]Account, 0, len(b.accounts))
	for _, a := range b.accounts {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(x, y Account) int { return cmp.Or(cmp.Compare(x.Code, y.Code), cmp.Compare(x.ID, y.ID)) })
	return out
}

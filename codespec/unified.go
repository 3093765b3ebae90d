package codespec

import (
	"bytes"
	"errors"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/paycode"
	"github.com/tongma/tongma/codespec/tlv"
)

// The unified format (SPEC.md). Six characters are what the arithmetic of a
// signature over two templates leaves for a GUID.
const (
	UnifiedGUID  = "tongma"
	UnifiedLabel = "TONGMA"
)

// unifiedAID is F0 (proprietary, unregistered: ISO/IEC 7816-5), the letters
// TONGMA, and version 01.
var unifiedAID = []byte("\xF0TONGMA\x01")

// UnifiedAID returns the AID of the unified format in consumer-presented codes.
func UnifiedAID() []byte { return bytes.Clone(unifiedAID) }

// ErrUnifiedAccount says that the fields of a unified merchant account are not
// those of SPEC.md 2.
var ErrUnifiedAccount = errors.New("codespec: unified account: acquirer is four digits, merchant 1-24 and till at most 8 letters and digits")

// UnifiedAccount names a till in the unified format (SPEC.md 2).
type UnifiedAccount struct {
	Acquirer string // four digits
	Merchant string // 1 to 24 letters and digits, the acquirer's own id
	Till     string // at most 8 letters and digits, "" if the code stands for the whole shop
}

// Account returns the template to put beside those of the other schemes.
func (u UnifiedAccount) Account() (emv.Account, error) {
	if !u.valid() {
		return emv.Account{}, ErrUnifiedAccount
	}
	a := emv.Account{GUID: UnifiedGUID, Fields: []tlv.Object{{ID: "01", Value: u.Acquirer}, {ID: "02", Value: u.Merchant}}}
	if u.Till != "" {
		a.Fields = append(a.Fields, tlv.Object{ID: "03", Value: u.Till})
	}
	return a, nil
}

func (u UnifiedAccount) valid() bool {
	return form{"n", 4, 4}.fits(u.Acquirer) && form{"an", 1, 24}.fits(u.Merchant) && form{"an", 0, 8}.fits(u.Till)
}

// UnifiedAccount returns the unified account of a merchant code, if it carries
// one whose fields are right.
func (c Code) UnifiedAccount() (UnifiedAccount, bool) {
	if c.MPM == nil {
		return UnifiedAccount{}, false
	}
	for i := range c.MPM.Accounts {
		t := &c.MPM.Accounts[i]
		if !t.HasGUID || string(fold(nil, t.GUID)) != UnifiedGUID {
			continue
		}
		var u UnifiedAccount
		u.Acquirer, _ = t.Field("01")
		u.Merchant, _ = t.Field("02")
		u.Till, _ = t.Field("03")
		return u, u.valid()
	}
	return UnifiedAccount{}, false
}

// UnifiedCPM makes the rich form of a payer's code: an EMVCo CPM whose 5A is
// the twenty digits of the unified pay code (SPEC.md 4). transparent, which may
// be empty, goes to the issuer unread.
func UnifiedCPM(issuer, token string, transparent []tlv.Node) (*emv.CPM, error) {
	p, err := paycode.MakeUnified(issuer, token)
	if err != nil {
		return nil, err
	}
	return emv.ConsumerDraft{Apps: []emv.AppDraft{{
		AID:         unifiedAID,
		Label:       UnifiedLabel,
		Nodes:       []tlv.Node{{Tag: emv.TagPAN, Value: emv.CompactDigits(p.Digits)}},
		Transparent: transparent,
	}}}.Build()
}

// unifiedApp returns the pay code inside the unified application of a CPM. It
// returns nil without an error if there is no such application.
func unifiedApp(c *emv.CPM) (*paycode.Code, *DecodeError) {
	for i := range c.Apps {
		if !bytes.Equal(c.Apps[i].AID, unifiedAID) {
			continue
		}
		v, _ := tlv.FindBER(c.Apps[i].Nodes, emv.TagPAN)
		p, err := paycode.ParseUnified(hexUpper(v))
		if err != nil {
			return nil, &DecodeError{Format: FormatCPM, Reason: ReasonCheckDigits, Path: "61.5A", Offset: -1, Message: "not a unified pay code"}
		}
		return &p, nil
	}
	return nil, nil
}

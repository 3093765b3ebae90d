package schemes

import (
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	tongma "github.com/tongma/tongma"
	"pgregory.net/rapid"
)

func TestSandboxIsTheMarketItSays(t *testing.T) {
	d := sandboxed(t)
	if d.Name() != "sandbox" || d.Version() != 1 || d.Hash() != sha256.Sum256(Sandbox()) || string(d.Source()) != string(Sandbox()) {
		t.Error("name, version, hash or source differ")
	}
	decimals := map[int]bool{}
	for i, s := range d.Schemes() {
		if i > 0 && d.Schemes()[i-1].ID >= s.ID {
			t.Error("schemes are not in order")
		}
		for _, c := range s.Currencies {
			decimals[c.MinorUnits()] = true
		}
	}
	if !decimals[0] || !decimals[2] || !decimals[3] {
		t.Error("not currencies of none, two and three decimals")
	}
	for i, p := range d.Participants() {
		if i > 0 && d.Participants()[i-1].ID >= p.ID {
			t.Error("participants are not in order")
		}
		if p.Key != "" || p.KeyRef != RefCreds {
			t.Errorf("%s: key %q, reference %q", p.ID, p.Key, p.KeyRef)
		}
	}
	north, ok := d.ParticipantByAcquirerID("00010344")
	if !ok || north.ID != "acq-north" || north.Caps[tongma.KWD] != 30_000_000 || north.Caps[tongma.JPY] != 10_000_000 {
		t.Errorf("%+v", north)
	}
	if p, ok := d.ParticipantByIssuerCode("1001"); !ok || p.ID != "tongbao" || p.Scheme != "tongbao" {
		t.Errorf("%+v", p)
	}
	if _, ok := d.ParticipantByAcquirerID("10344"); ok {
		t.Error("an acquirer id was found by other digits")
	}
	alipay, _ := d.Scheme("alipay")
	if alipay.ConfirmWithin != 30*time.Second || alipay.CodeLifetime != DefaultCodeLifetime || !alipay.PaysIn("FR") {
		t.Errorf("%+v", alipay)
	}
	union, _ := d.Scheme("unionpay")
	if wechat, _ := d.Scheme("wechat"); wechat.CodeReusableAfterDecline || !union.CodeReusableAfterDecline {
		t.Error("a code is spent by a decline unless its scheme says otherwise")
	}
	if pp, _ := d.Scheme("promptpay"); strings.Join(pp.Reads, " ") != "promptpay promptpay-bill" {
		t.Error(pp.Reads)
	}
}

func TestDirectoryCannotBeChangedThroughItsSource(t *testing.T) {
	source := Sandbox()
	d, err := Parse(1, source)
	if err != nil {
		t.Fatal(err)
	}
	clear(source)
	clear(d.Source())
	if string(d.Source()) != string(Sandbox()) {
		t.Error("the source was changed from outside")
	}
}

func lineOf(t *testing.T, source []byte, piece string) int {
	t.Helper()
	before, _, ok := strings.Cut(string(source), piece)
	if !ok {
		t.Fatalf("no %q", piece)
	}
	return strings.Count(before, "\n") + 1
}

// Each fault is found, at its line, with what was probably meant.
func TestFaultsAreNamedWithLineAndSuggestion(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new string
		at       string // on the line where this stands
		reason   tongma.Reason
		want     string
	}{
		{"participant key", "name: North Acquiring", "nmae: North Acquiring", "nmae", tongma.FieldUnknown, "/participants/0/nmae: no such key; did you mean name?"},
		{"root key", "rules: default", "ruls: default", "ruls", tongma.FieldUnknown, "/ruls: no such key; did you mean rules?"},
		{"scheme key", "reverse_every: 5s", "reverse_evry: 5s", "reverse_evry", tongma.FieldUnknown, "did you mean reverse_every?"},
		{"key twice", "    country: HK\n", "    country: HK\n    country: CN\n", "country: CN\n    roles: [acquirer, issuer]\n    acquirer_ids", tongma.FieldInvalid, "/participants/1/country: stands twice"},
		{"missing key", "    country: HK\n", "", "- id: acq-harbour", tongma.FieldMissing, "/participants/1/country: is missing"},
		{"bad id", "- id: acq-north", "- id: Acq_North", "Acq_North", tongma.FieldInvalid, "lower-case"},
		{"reserved id", "- id: acq-north", "- id: adapter", "- id: adapter", tongma.FieldInvalid, "reserved"},
		{"id twice", "- id: acq-harbour", "- id: acq-north", "- id: acq-north\n    name: Harbour", tongma.FieldInvalid, "/participants/1/id: this id was given before"},
		{"name twice", "name: Harbour Bank", "name: north acquiring", "name: north acq", tongma.FieldInvalid, "this name was given before"},
		{"scheme twice", "- id: alipayhk", "- id: alipay", "- id: alipay\n    name: AlipayHK", tongma.FieldInvalid, "this id was given before"},
		{"acquirer id twice", `["00020344"]`, `["00010344"]`, `["00010344"]` + "\n    issuer_code: \"2002\"", tongma.FieldInvalid, "this acquirer id was given before"},
		{"issuer code twice", `issuer_code: "2002"`, `issuer_code: "2001"`, "issuer_code: \"2001\"\n    caps: {HKD", tongma.FieldInvalid, "this code was given before"},
		{"issuer code of letters", `issuer_code: "2002"`, `issuer_code: "20A2"`, "20A2", tongma.FieldInvalid, "must be 4 digits"},
		{"long acquirer id", `["00020344"]`, `["000203440000"]`, "000203440000", tongma.FieldInvalid, "must be 1 to 11 digits"},
		{"role", "roles: [acquirer]", "roles: [aquirer]", "aquirer", tongma.FieldInvalid, "did you mean acquirer?"},
		{"no role", "roles: [acquirer]", "roles: []", "roles: []", tongma.FieldInvalid, "is empty"},
		{"country", "country: HK", "country: hk", "country: hk", tongma.FieldInvalid, "two capital letters"},
		{"dangling participant", "participant: wechatpay", "participant: wechatpya", "wechatpya", tongma.ParticipantUnknown, "there is no such participant; did you mean wechatpay?"},
		{"dangling scheme", "unionpay, wechat]", "unionpay, wecaht]", "wecaht", tongma.FieldInvalid, "there is no such scheme; did you mean wechat?"},
		{"accepted twice", "unionpay, wechat]", "unionpay, unionpay]", "unionpay, unionpay", tongma.FieldInvalid, "stands twice"},
		{"accepts a word", "accepts: all", "accepts: any", "accepts: any", tongma.FieldInvalid, "the word all"},
		{"unknown currency", `{CNY: "500000.00"`, `{CNH: "500000.00"`, "CNH", tongma.CurrencyUnknown, "is no currency of ISO 4217"},
		{"small currency", `{CNY: "500000.00"`, `{cny: "500000.00"`, "cny", tongma.CurrencyUnknown, "did you mean CNY?"},
		{"cap with too many decimals", `JPY: "10000000"`, `JPY: "10000000.5"`, "10000000.5", tongma.AmountDecimals, "/participants/0/caps/JPY: must be a decimal of major units with at most 0 decimals"},
		{"cap with commas", `JPY: "10000000"`, `JPY: "10,000,000"`, "10,000,000", tongma.AmountInvalid, "without sign or commas"},
		{"negative cap", `JPY: "10000000"`, `JPY: "-1"`, `"-1"`, tongma.AmountInvalid, "without sign"},
		{"cap without end", `VND: "2000000000"`, `VND: "900000000000000000"`, "900000000000000000", tongma.FieldInvalid, "must be from 0 to"},
		{"cap missing", `{HKD: "2000000.00", CNY: "1000000.00", USD: "250000.00", JPY: "30000000"}`, `{HKD: "2000000.00", CNY: "1000000.00", USD: "250000.00"}`, "caps: {HKD: \"2000000.00\", CNY: \"1000000.00\", USD", tongma.FieldMissing, "caps/JPY: is missing: scheme harbour clears in JPY"},
		{"limit in another currency", `max_payment: {HKD: "20000.00"}`, `max_payment: {THB: "20000.00"}`, `{THB: "20000.00"}`, tongma.FieldInvalid, "no currency of this scheme"},
		{"limit of nothing", `max_payment: {HKD: "20000.00"}`, `max_payment: {HKD: "0"}`, `{HKD: "0"}`, tongma.FieldInvalid, "must be from 0.01"},
		{"currency twice", "currencies: [KHR, USD]", "currencies: [KHR, KHR]", "[KHR, KHR]", tongma.FieldInvalid, "stands twice"},
		{"no currency", "currencies: [KHR, USD]", "currencies: []", "currencies: []", tongma.FieldInvalid, "is empty"},
		{"no country", "countries: [KH]", "countries: []", "countries: []", tongma.FieldInvalid, "the word all"},
		{"time without unit", "authorise_timeout: 10s", "authorise_timeout: 10", "authorise_timeout: 10\n", tongma.FieldInvalid, "must be a time from 100ms to 2m0s"},
		{"time too short", "inquire_every: 5s", "inquire_every: 1ms", "1ms", tongma.FieldInvalid, "must be a time from 100ms"},
		{"rank", "rank: 110", "rank: best", "rank: best", tongma.FieldInvalid, "whole number from 1 to 10000"},
		{"yes", "code_reusable_after_decline: true", "code_reusable_after_decline: yes", "decline: yes", tongma.FieldInvalid, "true or false"},
		{"reserved scheme", "- id: north", "- id: tongma", "- id: tongma", tongma.FieldInvalid, "names the unified format"},
		{"claim length", "name: AlipayHK", "name: AlipayHK\n    claims: [{prefix: 281, length: 9-99}]", "length: 9-99", tongma.FieldInvalid, "from 16 to 24"},
		{"claim of the unified prefix", "name: AlipayHK", "name: AlipayHK\n    claims: [{prefix: 770, length: 20}]", "prefix: 770", tongma.FieldInvalid, "unified format"},
		{"claim of merchants' codes", "name: AlipayHK", "name: AlipayHK\n    claims: [{prefix: \"000\", length: 20}]", "prefix: \"000\"", tongma.FieldInvalid, "merchants' codes"},
		{"which scheme is unified", "participant: antnet\n    rank: 110", "participant: tongbao\n    rank: 110", "id: tongbao\n", tongma.FieldMissing, "says which of its schemes clears it"},
		{"scheme of another", "accepts: [alipay,", "scheme: wechat\n    accepts: [alipay,", "scheme: wechat", tongma.FieldInvalid, "a scheme that this participant runs"},
		{"acquirer id without the role", "roles: [acquirer]\n", "roles: [issuer]\n", `["00010344"]`, tongma.FieldInvalid, "for acquirers only"},
		{"key", "key: creds", "key: UABC", "key: UABC", tongma.FieldInvalid, "public NKey of a user"},
		{"syntax", "participants:", "participants: [", "name: sandbox", tongma.MessageMalformed, "line"},
		{"anchor", "rules: default", "rules: &r default", "&r", tongma.MessageMalformed, "anchors"},
		{"second document", "\nschemes:", "\n---\nschemes:", "schemes:", tongma.MessageMalformed, "second document"},
		{"rule of a directory", "rules: default", "rules: {version: x, numeric: [{id: a, scheme: wechat, prefixs: [\"10\"], min: 18, max: 18}]}", "prefixs", tongma.FieldUnknown, "/rules/numeric/0/prefixs: no such key; did you mean prefixes?"},
		{"base of rules", "rules: default", "rules: {base: defualt, version: x}", "defualt", tongma.FieldInvalid, "did you mean default?"},
		{"one claim twice", "name: AlipayHK", "name: AlipayHK\n    claims: [{prefix: 281, length: 16-18}, {prefix: 281, length: 18-20}]", "claims: [", tongma.FieldInvalid, "/claims/1: claims codes that this scheme claims before"},
		{"rules that do not fit", "rules: default", "rules: {version: x, numeric: [{id: a, scheme: wechat, prefixes: [\"10\"], min: 18, max: 1}]}", "rules: {", tongma.FieldInvalid, "impossible lengths"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := edited(t, c.old, c.new)
			_, err := Parse(1, source)
			var e *ParseError
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			line := lineOf(t, source, c.at)
			for _, p := range e.Problems {
				if strings.Contains(p.String(), c.want) && p.Reason == c.reason {
					if p.Line != line && c.reason != tongma.MessageMalformed {
						t.Errorf("at line %d, want %d: %v", p.Line, line, p)
					}
					return
				}
			}
			t.Errorf("no problem %q (%v) in:\n%v", c.want, c.reason, err)
		})
	}
}

func TestRulesOfTheDirectorysOwnStandAlone(t *testing.T) {
	d := sandboxed(t, "rules: default", "rules: {base: nothing, version: own, numeric: [{id: mine, scheme: wechat, prefixes: [\"99\"], min: 18, max: 18}]}")
	if d.Rules().Version() != "own" {
		t.Fatal(d.Rules().Version())
	}
	if _, err := d.Decode(wechatCode); err == nil {
		t.Error("a default rule is still there")
	}
	r := d.Resolve(decoded(t, d, "991234567890123456"), pay("acq-north", 100, tongma.CNY))
	if short(r) != "wechat/wechatpay" || r.Candidates[0].Rule != "mine" {
		t.Errorf("%+v", r)
	}
}

func TestRulesAreAddedToTheDefaults(t *testing.T) {
	d := sandboxed(t, "rules: default", `rules:
  mpm:
    - {id: new.guid, scheme: tongbao, ids: 26-51, exact: [org.example.tongbao]}
    - {id: new.wechat, scheme: north, ids: 26-51, exact: [com.qq.weixin.pay]}
  links:
    - {id: new.host, scheme: tongbao, url_scheme: https, host: pay.example.org, path: "^/[0-9]+$", kind: order}
  numeric:
    - {id: new.digits, scheme: tongbao, prefixes: ["134"], min: 18, max: 18}
  not_payable:
    - {id: new.refusal, scheme: loyalty, prefixes: ["LOYAL:"]}`)
	for raw, want := range map[string]string{
		merchantCode(object("26", object("00", "org.example.tongbao")), "156", "CN"):                                          "tongbao/tongbao",
		merchantCode(object("26", object("00", "COM.QQ.WEIXIN.PAY"))+object("27", object("00", "com.alipay")), "156", "CN"):   "north/acq-north alipay/antnet",
		merchantCode(object("26", object("00", "com.alipay"))+object("27", object("00", "org.example.tongbao")), "156", "CN"): "tongbao/tongbao alipay/antnet",
		merchantCode(unifiedAccount("26", "2001")+object("27", object("00", "org.example.tongbao")), "156", "CN"):             "north/acq-north! tongbao/tongbao",
		"https://pay.example.org/12345": "tongbao/tongbao",
		wechatLink:                      "wechat/wechatpay",
	} {
		if got := short(d.Resolve(decoded(t, d, raw), transfer("thainet", 100, tongma.CNY))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for raw, want := range map[string]string{
		wechatCode:             "wechat/wechatpay? tongbao/tongbao?",
		"124621141753364349":   "wechat/wechatpay",
		tongbaoCode(t, "1001"): "tongbao/tongbao!",
		richCode(t, "1001"):    "tongbao/tongbao!",
	} {
		if got := short(d.Resolve(decoded(t, d, raw), pay("acq-north", 100, tongma.CNY))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if r := d.Resolve(decoded(t, d, "LOYAL:1"), pay("acq-north", 1, tongma.CNY)); r.Refusal != tongma.CodeNotPayable {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{wechatCode + "1", "https://pay.example.org/x", khqrCode[:len(khqrCode)-1] + "0"} {
		if _, err := d.Decode(bad); err == nil {
			t.Error("a code that nobody's rules read was decoded")
		}
	}
}

func TestPrivateKeysAreRefusedAndNotRepeated(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"key: " + string(seed), "# " + string(seed) + "\n    key: creds", "key: |\n      -----BEGIN EC PRIVATE KEY-----"} {
		_, err := Parse(1, edited(t, "key: creds", bad))
		if err == nil || !strings.Contains(err.Error(), "private key") || strings.Contains(err.Error(), string(seed)) {
			t.Errorf("%q gave %v", bad[:3], err)
		}
	}
	d := sandboxed(t, "key: creds", "key: "+public)
	if p, _ := d.Participant("acq-north"); p.Key != public || p.KeyRef != "" {
		t.Errorf("%+v", p)
	}
	if _, err := Parse(1, edited(t, "key: creds", "key: "+public, "key: creds", "key: "+public)); err == nil {
		t.Error("two participants have one key")
	}
}

func TestParseErrorIsATongmaError(t *testing.T) {
	_, err := Parse(1, edited(t, "name: North Acquiring", "nmae: North Acquiring"))
	if tongma.ReasonOf(err) != tongma.FieldUnknown {
		t.Error(tongma.ReasonOf(err))
	}
	if want := "directory: line " + strconv.Itoa(lineOf(t, Sandbox(), "name: North")) + ": /participants/0/nmae: no such key; did you mean name?"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	for name, source := range map[string][]byte{"empty": nil, "comment": []byte("# nothing"), "list": []byte("- a"), "long": make([]byte, MaxSource+1), "no parts": []byte("participants: []\nschemes: []")} {
		if _, err := Parse(1, source); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := Parse(0, Sandbox()); err == nil {
		t.Error("version 0 was accepted")
	}
}

// Parse never panics, and what it accepts it accepts again.
func TestMutatedDirectoriesNeverPanic(t *testing.T) {
	lines := strings.SplitAfter(string(Sandbox()), "\n")
	rapid.Check(t, func(t *rapid.T) {
		all := append([]string(nil), lines...)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "line")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				all[i] = ""
			case 1:
				all[i] += all[i]
			case 2:
				j := rapid.IntRange(0, len(all)-1).Draw(t, "with")
				all[i], all[j] = all[j], all[i]
			case 3:
				b := []byte(all[i])
				if len(b) > 0 {
					b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
				}
				all[i] = string(b)
			}
		}
		source := []byte(strings.Join(all, ""))
		d, err := Parse(1, source)
		if (d == nil) == (err == nil) {
			t.Fatalf("directory %v, error %v", d, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}

// TestNothingIsNoDirectory, and the refusal says so.
func TestNothingIsNoDirectory(t *testing.T) {
	for _, source := range []string{"", "\n", "# soon\n"} {
		if _, err := Parse(1, []byte(source)); err == nil || !strings.Contains(err.Error(), "nothing is in it") {
			t.Errorf("%q: %v", source, err)
		}
	}
}

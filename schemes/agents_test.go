package schemes

import (
	"encoding/json"
	"strings"
	"testing"

	tongma "github.com/tongma/tongma"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\n", "")
}

func TestAgentsAndAccountsAreWhatMessagesNeed(t *testing.T) {
	d := marketed(t)
	agent, ok := d.Agent("river-bank")
	if !ok || len(d.Agents()) != 1 || d.Agents()[0] != agent {
		t.Fatal("no agent")
	}
	same := func(what string, got any, want any) {
		t.Helper()
		if asJSON(t, got) != asJSON(t, want) {
			t.Errorf("%s:\n got %s\nwant %s", what, asJSON(t, got), asJSON(t, want))
		}
	}
	same("agent", agent, Agent{ID: "river-bank", Who: Institution{Name: "River Bank", BIC: "RIVRTHB1"}, URL: "http://127.0.0.1:7790/iso20022",
		Currencies: []tongma.Currency{tongma.THB, tongma.HKD}, System: "MARKET",
		Switch:     Institution{Name: "Market Operations", ID: "TONGMA00MARKET000035", IDKind: "LEI"},
		Settlement: map[tongma.Currency]AccountID{tongma.THB: {IBAN: "TH95RIVR0000000764003"}, tongma.HKD: {Other: "MARKET/344"}}})
	lotus, _ := d.Participant("lotus")
	account, ok := lotus.Account("river-bank", tongma.THB)
	if !ok {
		t.Fatal("no account")
	}
	same("account", account, Account{Agent: "river-bank", Currency: tongma.THB, Holder: Institution{"Lotus Wallet", "LOTUTHB1", "TONGMA00LOTUS0000046", "LEI"},
		ID: AccountID{IBAN: "TH52RIVR0000000764001"}, Prefunding: AccountID{IBAN: "TH25RIVR0000000764002"}, Mandate: "M-1"})
	orchid, _ := d.Participant("orchid")
	other, _ := orchid.Account("river-bank", tongma.THB)
	same("account", other, Account{Agent: "river-bank", Currency: tongma.THB, Holder: Institution{"Orchid Bank (Bangkok)", "", "4711", "river"}, ID: AccountID{Other: "ORCHID/764"}})
	if _, ok := lotus.Account("river-bank", tongma.CNY); ok {
		t.Error("an account was made up")
	}
	if _, ok := lotus.Account("lake-bank", tongma.THB); ok || !other.Prefunding.IsZero() {
		t.Error("an account was made up")
	}
}

func TestWhoSettlesAModelInACurrency(t *testing.T) {
	d := marketed(t)
	khr, _ := tongma.CurrencyByCode("KHR")
	for _, c := range []struct {
		model    string
		currency tongma.Currency
		want     bool
	}{
		{"home", tongma.THB, true}, {"abroad", tongma.HKD, true}, {DefaultModel, tongma.HKD, true}, {"quarrels", tongma.THB, true},
		{DefaultModel, khr, false}, {"nowhere", tongma.THB, false},
	} {
		if a, ok := d.AgentFor(c.model, c.currency); ok != c.want || ok && a.ID != "river-bank" {
			t.Errorf("%q in %s: %v %v", c.model, c.currency, a, ok)
		}
	}
}

func TestCheckDigitsOfAccountsAndInstitutions(t *testing.T) {
	for s, want := range map[string]bool{
		"GB82WEST12345698765432": true, "GB82WEST12345698765433": false, "DE89370400440532013000": true, "DE89 3704 0044 0532 0130 00": false,
		"gb82west12345698765432": false, "GB8": false, "": false, "GBX2WEST12345698765432": false,
	} {
		if validIBAN(s) != want {
			t.Errorf("IBAN %s", s)
		}
	}
	for s, want := range map[string]bool{"506700GE1G29325QX363": true, "506700GE1G29325QX364": false, "506700GE1G29325QX36": false} {
		if validLEI(s) != want {
			t.Errorf("LEI %s", s)
		}
	}
	for s, want := range map[string]bool{"DEUTDEFF": true, "DEUTDEFF500": true, "DEUTDEF": false, "DEUT1EFF": false, "deutdeff": false, "DEUTDEFF5": false} {
		if validBIC(s) != want {
			t.Errorf("BIC %s", s)
		}
	}
}

func TestFaultsOfAgentsAndAccounts(t *testing.T) {
	const (
		first    = "/participants/0/accounts/0"
		agentURL = "http://127.0.0.1:7790/iso20022"
		hkd      = "      - {agent: river-bank, currency: HKD, account: LOTUS/344, bic: LOTUTHB1}\n"
		shops    = "- {agent: river-bank, currency: THB, account: SHOPS/764"
	)
	eachFault(t, []fault{
		{"lei: TONGMA00LOTUS0000046, bic", "lie: TONGMA00LOTUS0000046, bic", "", tongma.FieldUnknown, first + "/lie: no such key; did you mean lei?"},
		{"TH52RIVR0000000764001", "TH53RIVR0000000764001", "", tongma.FieldInvalid, first + "/iban: must be an IBAN without blanks, with its check digits (ISO 13616)"},
		{"TONGMA00LOTUS0000046", "TONGMA00LOTUS0000047", "", tongma.FieldInvalid, first + "/lei: must be an LEI: 20 capital letters and digits with their check digits (ISO 17442)"},
		{"bic: LOTUTHB1, prefunding", "bic: LOTUTHB12, prefunding", "", tongma.FieldInvalid, first + "/bic: must be a BIC: 8 or 11 capital letters and digits (ISO 9362)"},
		{"mandate: M-1", "mandate: M_1", "", tongma.FieldInvalid, first + "/mandate: must be 1 to 35 letters, digits and marks of / - ? : ( ) . , ' + and blank"},
		{"mandate: M-1", "number: \"1\"", "", tongma.FieldInvalid, first + "/number: must not stand beside lei or number: a message carries one of them"},
		{"mandate: M-1", "account: X", "", tongma.FieldInvalid, first + "/account: must not stand beside iban"},
		{"prefunding: {iban: TH25RIVR0000000764002}", "prefunding: {}", "", tongma.FieldMissing, first + "/prefunding/account: is missing, and so is iban"},
		{"prefunding: {iban: TH25RIVR0000000764002}", "prefunding: {iban: TH52RIVR0000000764001}", "", tongma.FieldInvalid, first + "/prefunding: this account was given before"},
		{shops + ", number: \"4712\"", shops, shops, tongma.FieldMissing, "/participants/2/accounts/0/bic: is missing, and so are lei and number: a name does not identify"},
		{shops, "- {agent: river-bank, currency: THB", "currency: THB, number: \"4712\"", tongma.FieldMissing, "/participants/2/accounts/0/account: is missing, and so is iban"},
		{"number: \"4712\"", "bic: SHOPTHB1, number_kind: river", "", tongma.FieldMissing, "/participants/2/accounts/0/number: is missing, and number_kind says what kind it is"},
		{shops, "- {agent: rivre-bank, currency: THB, account: SHOPS/764", "", tongma.FieldInvalid, "/participants/2/accounts/0/agent: there is no such agent; did you mean river-bank?"},
		{shops, "- {agent: river-bank, currency: KHR, account: SHOPS/764", "", tongma.FieldInvalid, "/participants/2/accounts/0/currency: is no currency of river-bank"},
		{shops, "- {agent: river-bank, currency: THB, account: ORCHID/764", "account: ORCHID/764, number: \"4712\"", tongma.FieldInvalid, "/participants/2/accounts/0: this account was given before"},
		{hkd, hkd + strings.Replace(hkd, "LOTUS/344", "LOTUS/345", 1), "LOTUS/345", tongma.FieldInvalid, "/participants/0/accounts/2: is a second account at river-bank in HKD"},
		{hkd, "", "- {agent: river-bank, currency: THB, iban", tongma.FieldMissing, "/participants/0/accounts: has none at river-bank in HKD, where what it has a cap for is settled"},
		{"caps: {THB: \"0\"}\n    accounts:\n      - {agent: river-bank, currency: THB, account: OFFICE/764", "caps: {THB: \"0\"}\n    accounts:\n      - {agent: river-bank, currency: HKD, account: OFFICE/764", "account: OFFICE/764",
			tongma.FieldInvalid, "/participants/4/accounts/0/currency: is one in which the participant has no cap, and so no account in the books"},
		{agentURL, "ftp://127.0.0.1/", "", tongma.FieldInvalid, "/agents/0/url: must be a URL such as https://settlement.example.org/iso20022"},
		{agentURL, "http://bank.example.org/", "", tongma.FieldInvalid, "/agents/0/url: must be https, but for an agent on this machine"},
		{agentURL, "https://me:word@bank.example.org/", "", tongma.FieldInvalid, "/agents/0/url: must have no user, query or fragment; a directory holds no secrets"},
		{agentURL, "http://[::1]:7790/", "", 0, ""},
		{agentURL, "https://bank.example.org/iso20022", "", 0, ""},
		{"    bic: RIVRTHB1\n", "", "- id: river-bank", tongma.FieldMissing, "/agents/0/bic: is missing, and so are lei and number: a name does not identify"},
		{"    name: River Bank\n", "", "- id: river-bank", tongma.FieldMissing, "/agents/0/name: is missing"},
		{"- id: river-bank", "- id: River-Bank", "", tongma.FieldInvalid, "/agents/0/id: must be lower-case letters, digits and hyphens, at most 32, from a letter"},
		{"system: MARKET", "system: \" MARKET\"", "", tongma.FieldInvalid, "/agents/0/system: must be printable, without blanks at its ends"},
		{", HKD: {account: MARKET/344}", "", "accounts: {THB: {iban: TH95", tongma.FieldMissing, "/agents/0/switch/accounts/HKD: is missing: the agent settles in HKD"},
		{"HKD: {account: MARKET/344}", "HKD: {account: MARKET/344}, KHR: {account: X}", "", tongma.FieldInvalid, "/agents/0/switch/accounts/KHR: is no currency of this agent"},
		{"HKD: {account: MARKET/344}", "HKD: {iban: TH95RIVR0000000764003}", "", tongma.FieldInvalid, "/agents/0/switch/accounts/HKD: this account was given before"},
		{"currencies: [THB, HKD]\n    system", "currencies: [THB, HKD, THB]\n    system", "", tongma.FieldInvalid, "/agents/0/currencies/2: stands twice"},
		{"  agent: river-bank\n  dispute", "  agent: riverbank\n  dispute", "", tongma.FieldInvalid, "/settlement/agent: there is no such agent; did you mean river-bank?"},
		{"      agent: river-bank\n      schedule: abroad", "      agent: river-bnk\n      schedule: abroad", "      agent: river-bnk", tongma.FieldInvalid, "/settlement/models/1/agent: there is no such agent; did you mean river-bank?"},
		{"      schedule: baht\n      currencies: [THB]", "      currencies: [KHR]", "", tongma.FieldInvalid, "/settlement/models/0/currencies/0: is no currency of agent river-bank"},
	})
}

func TestAScheduleOfAnAgentThatNobodyKnows(t *testing.T) {
	_, _, err := market(t, "agents: {river-bank: bank-days}", "agents: {river-bank: bank-days, lake-bank: bank-days}",
		"      currency: THB\n      agent: river-bank", "      currency: THB\n      agent: lake-bank")
	if err == nil || !strings.HasSuffix(err.Error(), "/settlement/models/0/schedule: is of agent lake-bank, of whom section agents says nothing") {
		t.Error(err)
	}
	_, _, err = market(t, "agents: {river-bank: bank-days}", "agents: {river-bank: bank-days, lake-bank: bank-days}",
		"      currency: THB\n      agent: river-bank", "      currency: THB\n      agent: lake-bank", "      schedule: baht", "      agent: river-bank\n      schedule: baht")
	if err == nil || !strings.HasSuffix(err.Error(), "/settlement/models/0/schedule: is of agent lake-bank, and the model's is river-bank") {
		t.Error(err)
	}
}

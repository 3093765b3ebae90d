// Package schemes says who takes part in the switch and under what rules: the
// participants, the payment schemes that they run, and which schemes a scanned
// code belongs to.
//
// All of it stands in one YAML file, the directory. A directory has a number and
// never changes: a new file is a new version, and old ones are kept, so that the
// answer to "why did this code go there?" can be worked out again for any past
// payment. Parse, Decode and Resolve are pure. Registry keeps the versions on disk.
//
// # The file
//
// Sandbox is one, and testdata/market.yaml uses every key. Keys marked * must be there; any other key is refused.
//
//	name: text
//	rules: default                  # or rules in the form of codespec.RulesData, added to the default ones;
//	                                # base: nothing among them lets them stand alone
//	participants:                 * # networks
//	  - id: acq-north             *
//	    name: North Acquiring     * # no two alike
//	    country: CN               *
//	    roles: [acquirer, issuer] * # one or both; or service, for who earns fees, guarantees or exchanges
//	    suspended: false            # true refuses its debits; credits go on
//	    acquirer_ids: ["00010344"]  # ISO 8583 DE32; acquirers only
//	    issuer_code: "2001"         # its number in the unified format
//	    scheme: north               # which of its schemes clears the unified format, if it runs several
//	    caps: {CNY: "500000.00"}    # net debit caps; an issuer needs one for each currency of its schemes
//	    accepts: all                # or a list of schemes; none if left out. Its own are always accepted
//	    sponsor: lotus              # who settles for it, and has accounts in its currencies
//	    dealer:                     # what it offers if it exchanges currencies
//	      quote_lifetime: 30s     *
//	      pairs:                  *
//	        - from: HKD           * # what the debtor pays
//	          to: THB             *
//	          decimals: 4         * # of a rate: units of to for one of from
//	          margin_basis_points: "25"
//	          test_rate: "4.1975"   # for trying things out, before margin
//	    accounts:                   # at settlement agents: one in each currency that is settled there
//	      - agent: river-bank     *
//	        currency: CNY         *
//	        iban: TH52RIVR…         # or account: another id of it
//	        bic: LOTUTHB1           # who holds it: bic, or lei, or number, which the agent gave
//	        number_kind: river      # what the agent calls such numbers
//	        name: Lotus (Bangkok)   # the participant's if left out
//	        prefunding: {iban: …}   # from which a shortfall is taken first; or {account: …}
//	        mandate: M-1            # for direct debits
//	    key: creds                  # or the public NKey of its NATS user; never a seed
//	schemes:                      *
//	  - id: wechat                * # the name that codespec's rules give, if they know its codes
//	    name: WeChat Pay          * # no two alike
//	    participant: wechatpay    * # debtor of its payers, creditor for its merchants
//	    fee_party: wechat-office    # gets and pays what fee rules give to the scheme; participant if left out
//	    countries: [CN, TH]       * # where its codes pay, or the word all
//	    currencies: [CNY]         *
//	    rank: 100                   # lower goes first when a code names several schemes
//	    max_payment: {CNY: "50000.00"}
//	    reads: [other-name]         # further names in codespec's rules whose codes are its own
//	    claims: [{prefix: "281", length: 16-24}]  # payers' digits that it claims beside the rules
//	    authorise_timeout: 8s       # one question to the scheme
//	    inquire_every: 3s
//	    reverse_every: 5s
//	    confirm_within: 45s         # how long the payer may think
//	    code_lifetime: 60s
//	    code_reusable_after_decline: false  # a payer's code is spent, even if its payment fails
//	    exchange: false             # true: may be paid in another currency, by a dealer
//	    consult: false              # true: always ask the scheme whether a code is its own
//	switch_party: market-ops        # gets and pays what fee rules give to the switch
//	fees:                           # for each payment the newest set in force holds, alone
//	  - schemes: [wechat]         * # or all
//	    operations: [pay]           # pay and transfer if left out
//	    currency: CNY             *
//	    effective_from: 2026-01-01T00:00:00+08:00 *
//	    rules:                    * # each is rounded once, half to even; none: no fees any more
//	      - kind: interchange     * # or scheme, switch
//	        from: acquirer        * # or issuer, scheme, switch
//	        to: issuer              # or shares: [{to: issuer, weight: 2}, {to: switch, weight: 1}]
//	        basis_points: "37.5"    # and flat: "0.10"; or tiers: [{above: "0", basis_points: "40", flat: "0.10"}]
//	        min: "0.01"
//	        max: "20.00"
//	        on_refund: return       # or keep
//	agents:                         # settlement agents
//	  - id: river-bank            *
//	    name: River Bank          *
//	    bic: RIVRTHB1               # or lei, or number; as of accounts
//	    url: https://…              # its HTTP endpoint; http on this machine only
//	    currencies: [CNY]         *
//	    system: MARKET              # its name for this clearing system, or system_code
//	    switch:                   * # who we are to it, and into which accounts debtors pay
//	      name: Market Operations *
//	      bic: MARKTHB1             # or lei, or number
//	      accounts: {CNY: {iban: …}} * # one for each currency; or {account: …}
//	calendar:                       # business days and schedules: what package calendar reads, here with lines
//	settlement:
//	  agent: river-bank             # of models that name none, and of the default model
//	  dispute_model: disputes       # where disputes move money; no payment belongs to it
//	  models:                       # what belongs to none is in the default model: multilateral, closed by hand
//	    - id: home                *
//	      method: multilateral    * # or bilateral, gross
//	      schedule: baht            # of calendar/schedules, of the same method and agent; by hand if left out
//	      agent: river-bank         # the schedule's if left out
//	      currencies: [THB]       * # not of the dispute model; the schedule's must be among them
//	      schemes: [lotus]        * # or all. A scheme and a currency belong to one model at most
//	disputes:                       # without it nothing can be disputed
//	  calendar: thb-th            * # in whose business days the deadlines are counted
//	  answer_days: 5              * # for who was paid, to accept or represent
//	  pre_arbitration_days: 3     * # for who raised it, to insist
//	  arbitration_days: 4         * # for who was paid, to have it ruled on
//	  ruling_days: 10             * # for the operator
//	  max_age_days: 120           * # of the payment; days of the week
//	  reasons: [{code: not-received, title: Goods were not received}] *
//	default_rules:                  # who pays for a participant that cannot; its own prefunding always goes first
//	  - model: home                 # the default model if left out
//	    currency: THB             *
//	    guarantee: {fund: market-fund, amount: "100000.00"}           # a participant, and the most it pays for one window
//	    loss_sharing: [{participant: lotus, weight: 3, cap: "30000.00"}] # then the survivors, each at most its cap
//	    recast: true                # then what cannot settle goes into the next window
//
// Two schemes that read one name, or claim one prefix, share codes that their form
// does not tell apart: both become candidates with Consult.
package schemes

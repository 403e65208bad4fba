# Beside the flow: what became of the laboratory's own patients with follow-up (event, time_months in the sheet of
# patients), set beside what the prognosis of their first draw foretold.


rule cohort:
    input:
        "<results>/cohort.html",


# A command line cannot hold the names of all results once there are some hundred patients.
rule list_followed:
    input:
        counts=counts_of_followed,
        prognosis=prognoses_of_followed,
    output:
        temp("<results>/follow_up.args"),
    log:
        "<logs>/list_followed.log",
    params:
        settings=settings("cohort"),
        code=code("cohort"),
    script:
        "../scripts/list_cohort.py"


rule compare_cohort:
    input:
        rules.list_followed.output,
    output:
        "<results>/cohort.json",
    log:
        "<logs>/cohort.log",
    benchmark:
        "<benchmarks>/cohort.tsv"
    params:
        settings=settings("cohort"),
        code=code("cohort"),
    shell:
        "ctcascade cohort @{input:q} --out {output:q} 2> {log:q}"


rule report_follow_up:
    input:
        rules.compare_cohort.output,
    output:
        report(
            "<results>/cohort.html",
            caption="../report/follow_up.rst",
            category="Cohort",
        ),
    log:
        "<logs>/report_follow_up.log",
    benchmark:
        "<benchmarks>/report_follow_up.tsv"
    params:
        settings=json.dumps({}),
        code=code("report"),
    shell:
        "ctcascade report follow-up --settings {params.settings:q} --cohort {input:q} --out {output:q} 2> {log:q}"

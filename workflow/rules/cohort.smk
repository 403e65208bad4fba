# Beside the flow: what became of the laboratory's own patients with follow-up (event, time_months in the sheet of
# patients), set beside what the prognosis from their first sample predicted.


rule cohort:
    input:
        "<results>/cohort.html",


# A command line cannot hold the names of all results once there are some hundred patients.
rule list_followed:
    input:
        template=ARGUMENTS,
        # the first sample of each patient with follow-up, which the follow-up counts from
        counts=of_samples("counts", [study.samples_of(p)[0] for p in study.followed]),
        prognosis=collect(
            "<results>/patients/{patient}/prognosis.json", patient=study.followed
        ),
        # end points of a trial need no follow-up
        everyone=collect(
            "<results>/patients/{patient}/prognosis.json", patient=study.ill
        ),
    output:
        temp("<results>/follow_up.args"),
    log:
        "<logs>/list_followed.log",
    params:
        settings=settings("cohort"),
        code=code("cohort"),
    template_engine:
        "jinja2"


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

# Each patient, from the counts of all of the patient's samples; and the cohort.


rule simulate:
    input:
        counts=of_patient("counts"),
        quality=of_patient("quality"),
        controls=charts_of,
        what_if=study.what_if or [],
    output:
        "<results>/patients/{patient}/cascade.json",
    log:
        "<logs>/patients/{patient}/simulate.log",
    benchmark:
        "<benchmarks>/patients/{patient}/simulate.tsv"
    params:
        settings=settings("simulate", of="patient"),
        controls=option("--controls", "controls"),
        what_if=["--what-if", str(study.what_if)] if study.what_if else [],
        code=code("simulate"),
        ahead=after_simulate,
    shell:
        "ctcascade ahead simulate --settings {params.settings:q} --counts {input.counts:q} --quality {input.quality:q}"
        " {params.controls:q} {params.what_if:q} --out {output:q} {params.ahead} 2> {log:q}"


rule prognose:
    input:
        counts=of_patient("counts"),
        quality=of_patient("quality"),
        cascade=rules.simulate.output,
        controls=charts_of,
    output:
        "<results>/patients/{patient}/prognosis.json",
    log:
        "<logs>/patients/{patient}/prognose.log",
    benchmark:
        "<benchmarks>/patients/{patient}/prognose.tsv"
    params:
        settings=settings("prognose", of="patient"),
        controls=option("--controls", "controls"),
        code=code("prognose"),
        ready=ready("patients/{patient}", "prognosis.json"),
    shell:
        "{params.ready} || ctcascade prognose --settings {params.settings:q} --counts {input.counts:q} --quality {input.quality:q}"
        " --cascade {input.cascade:q} --out {output:q} {params.controls:q} 2> {log:q}"


rule report_patient:
    input:
        counts=of_patient("counts"),
        quality=of_patient("quality"),
        cascade=rules.simulate.output,
        prognosis=rules.prognose.output,
        controls=charts_of,
        shared=rules.compare.output,
    output:
        report(
            "<results>/patients/{patient}/report.html",
            caption="../report/patient.rst",
            category="Patients",
            labels={"patient": "{patient}"},
        ),
    log:
        "<logs>/patients/{patient}/report.log",
    benchmark:
        "<benchmarks>/patients/{patient}/report.tsv"
    params:
        settings=settings("report", of="patient"),
        controls=option("--controls", "controls"),
        code=code("report"),
    shell:
        "ctcascade report patient --settings {params.settings:q} --counts {input.counts:q} --quality {input.quality:q}"
        " --cascade {input.cascade:q} --prognosis {input.prognosis:q} --shared {input.shared:q} --out {output:q}"
        " {params.controls:q} 2> {log:q}"


# A command line cannot hold the names of all results once there are some hundred patients.
rule list_cohort:
    input:
        template=ARGUMENTS,
        counts=collect(rules.count.output, sample=study.samples),
        quality=collect(rules.quality.output, sample=study.samples),
        cascade=collect(rules.simulate.output, patient=study.patients),
        prognosis=collect(rules.prognose.output, patient=study.patients),
    output:
        temp("<results>/cohort.args"),
    log:
        "<logs>/list_cohort.log",
    params:
        settings=settings("report"),
        code=code("report"),
    template_engine:
        "jinja2"


rule report_cohort:
    input:
        results=rules.list_cohort.output,
        controls=rules.controls.output,
        shared=rules.compare.output,
    output:
        page=report(
            "<results>/index.html",
            caption="../report/cohort.rst",
            category="Cohort",
        ),
        multiqc="<results>/qc_mqc.tsv",
        table="<results>/cohort.csv",
        readme="<results>/README.md",
    log:
        "<logs>/report_cohort.log",
    benchmark:
        "<benchmarks>/report_cohort.tsv"
    params:
        settings=settings("report"),
        code=code("report"),
    shell:
        "ctcascade report cohort @{input.results:q} --controls {input.controls:q} --shared {input.shared:q} --out {output.page:q}"
        " --multiqc {output.multiqc:q} --table {output.table:q} --readme {output.readme:q} 2> {log:q}"
